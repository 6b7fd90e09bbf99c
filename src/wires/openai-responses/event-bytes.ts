/** The first and the last event hold the whole request (instructions, tools) and, the last, the whole answer: more than events usually do. */
export const MOST_EVENT_BYTES = 16 * 1024 * 1024;
