/**
 * Time that passes when a test says so: timers run when `pass` comes to them, and those that are left are
 * seen.
 *
 * @example
 * ```ts ignore
 * using time = heldTime();
 * await time.pass(1000);
 * ```
 */
export function heldTime() {
  const { setTimeout, clearTimeout } = globalThis;
  const timers = new Map<number, { at: number; run(): void }>();
  let now = 0, last = 0;
  globalThis.setTimeout = ((run: () => void, after = 0) => {
    timers.set(++last, { at: now + after, run });
    return last;
  }) as unknown as typeof setTimeout;
  globalThis.clearTimeout =
    ((timer: number) => timers.delete(timer)) as unknown as typeof clearTimeout;
  const turn = () => new Promise((resolve) => setTimeout(resolve));
  return {
    timers,
    async pass(milliseconds: number) {
      await turn();
      now += milliseconds;
      for (const [timer, { at, run }] of [...timers]) {
        if (at <= now && timers.delete(timer)) run();
      }
      await turn();
    },
    [Symbol.dispose]: () => void Object.assign(globalThis, { setTimeout, clearTimeout }),
  };
}
