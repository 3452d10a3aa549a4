/** Tests of threads that wait for each other, which might otherwise wait for ever. */

/**
 * A test that ends. Who waits for shared memory does not keep the process, as workers do: a timer has to;
 * and where a word never comes, nothing else would end the wait.
 */
export function test(name: string, body: () => Promise<void>): void {
  Deno.test(name, async () => {
    const { promise: never, reject } = Promise.withResolvers<void>();
    const late = Date.now() + 20_000;
    const timer = setInterval(() => {
      if (Date.now() > late) reject(new Error("it waits for what does not come"));
    }, 2);
    await Promise.race([body(), never]).finally(() => clearInterval(timer));
  });
}
