/**
 * Stops the clock until the test is done: a rate limit then refills by nothing, however busy the machine.
 *
 * @example
 * ```ts ignore
 * using _ = frozenClock();
 * ```
 */
export function frozenClock(): Disposable {
  const { now } = Date;
  const at = now();
  Date.now = () => at;
  return { [Symbol.dispose]: () => void (Date.now = now) };
}
