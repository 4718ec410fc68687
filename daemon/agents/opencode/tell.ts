// Loaded into opencode as a plugin: tells on stdout, one JSON a line, what `opencode run` leaves out of its own events.
// It runs inside opencode, imports nothing, and must never throw.

interface Part {
  type?: string;
  tool?: string;
  callID?: string;
  sessionID?: string;
  state?: { status?: string; input?: unknown };
}

interface Told {
  type: string;
  properties: {
    sessionID?: string;
    info?: { id?: string; parentID?: string; role?: string; providerID?: string; modelID?: string };
    status?: { type: string };
    part?: Part;
  };
}

export const TowpathTell = async () => {
  /** Sessions of helpers that the agent started, and tool calls that were told. */
  const children = new Set<string>();
  const running = new Set<string>();
  const say = (what: object) => void process.stdout.write(`${JSON.stringify({ type: 'towpath', ...what })}\n`);
  return {
    event: async ({ event: { type, properties } }: { event: Told }) => {
      const { info, part, status } = properties ?? {};
      const session = properties?.sessionID ?? part?.sessionID ?? '';
      if (type === 'session.created' && info?.id) {
        if (info.parentID) children.add(info.id);
        else say({ session: info.id });
      } else if (type === 'session.status' && status && status.type !== 'busy') {
        if (!children.has(session) || status.type === 'retry') say({ status });
      } else if (type === 'message.updated' && info?.role === 'assistant' && info.modelID) {
        if (!children.has(session)) say({ model: `${info.providerID}/${info.modelID}` });
      } else if (part?.type === 'tool' && part.state?.status === 'running' && !children.has(session)) {
        const { callID = '', tool, state } = part;
        if (!running.has(callID)) say({ call: { id: callID, tool, input: state.input } });
        running.add(callID);
      } else if (type === 'message.part.updated' && part?.type === 'step-finish' && children.has(session))
        say({ part });
    },
  };
};
