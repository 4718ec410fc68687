// The beginning of a text, by characters or by bytes, never with half a character at its end.

export function headChars(text: string, most: number): string {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
}

export function headBytes(text: string, most: number): string {
  const bytes = Buffer.from(text).subarray(0, Math.max(0, most));
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true });
}
