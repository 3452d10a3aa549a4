/**
 * Lets waiting events in, Ctrl-C among them: a native evaluation holds the thread.
 * @throws the signal's reason, where it has come
 */
export async function letEventsIn(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
}
