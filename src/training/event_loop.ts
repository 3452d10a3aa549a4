/**
 * Lets waiting events run, Ctrl-C's among them: a native evaluation holds the thread.
 * @throws the signal's reason, where it has come
 */
export async function yieldToEventLoop(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
}
