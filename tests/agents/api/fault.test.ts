// What a failed model call means, by status, headers and the error object.
import { describe, expect, test } from 'vitest';
import { type Failure, faultOf } from '../../../daemon/agents/api/fault.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const fault = (over: Partial<Failure>) =>
  faultOf('srv', { status: 400, headers: {}, body: null, message: 'said', ...over }, NOW);
const openai = (error: object) => ({ error: { message: 'said', ...error } });
const claude = (type: string, message = 'said') => ({ type: 'error', error: { type, message } });
const CREDIT = 'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.';
const LONG = 'prompt is too long: 208310 tokens > 200000 maximum';
const VLLM = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.";
const at = (seconds: number): string => new Date(NOW + seconds * 1000).toISOString();

describe('the outcome', () => {
  test.each([
    [null, 'transient'],
    [400, 'failed'],
    [401, 'auth'],
    [402, 'billing'],
    [403, 'auth'],
    [404, 'failed'],
    [408, 'transient'],
    [413, 'context_exceeded'],
    [422, 'failed'],
    [429, 'rate_limited'],
    [500, 'transient'],
    [503, 'transient'],
    [529, 'transient'],
  ])('of status %s is %s', (status, outcome) => {
    expect(fault({ status })).toMatchObject({ outcome, message: `srv: ${status === null ? '' : `${status} `}said` });
  });

  test.each([
    ['no more quota', 429, openai({ code: 'insufficient_quota' }), 'billing'],
    ['no more credit', 400, claude('invalid_request_error', CREDIT), 'billing'],
    ['an unpaid account', 403, claude('billing_error'), 'billing'],
    ['too long for OpenAI', 400, openai({ code: 'context_length_exceeded' }), 'context_exceeded'],
    ['too long for llama.cpp', 400, openai({ code: 400, type: 'exceed_context_size_error' }), 'context_exceeded'],
    ['too long for Anthropic', 400, claude('invalid_request_error', LONG), 'context_exceeded'],
    ['too long for vLLM', 400, { object: 'error', message: VLLM, code: 400 }, 'context_exceeded'],
    ['prose that only speaks of it', 400, claude('invalid_request_error', `no: ${LONG}`), 'failed'],
    ['the same words with another status', 500, claude('api_error', LONG), 'transient'],
  ])('of an error object: %s', (_what, status, body, outcome) => {
    expect(fault({ status, body }).outcome).toBe(outcome);
  });
});

describe('the time at which a limit resets', () => {
  const spent = { 'anthropic-ratelimit-tokens-remaining': '0', 'anthropic-ratelimit-tokens-reset': at(90) };
  const left = { 'anthropic-ratelimit-requests-remaining': '7', 'anthropic-ratelimit-requests-reset': at(500) };
  test.each([
    ['in seconds', { 'retry-after': '30' }, at(30)],
    ['as a date', { 'retry-after': 'Thu, 01 Jan 2026 00:01:00 GMT' }, at(60)],
    ['of the window that is used up', { ...spent, ...left }, at(90)],
    ['of the last window, when none is told to be used up', { 'anthropic-ratelimit-requests-reset': at(500) }, at(500)],
    ['of a plan', { 'anthropic-ratelimit-unified-reset': String(NOW / 1000 + 7200) }, at(7200)],
    ['that cannot be read', { 'retry-after': 'soon' }, null],
    ['that is not told', {}, null],
  ])('%s', (_what, headers, expected) => {
    expect(fault({ status: 429, headers }).resets_at).toBe(expected);
  });
  test('is not asked of other faults', () => {
    expect(fault({ status: 503, headers: { 'retry-after': '30' } }).resets_at).toBeNull();
  });
});
