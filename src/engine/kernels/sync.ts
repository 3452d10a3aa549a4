// How threads share the work of a command: they claim its items one by one and meet at its end.

/** The shared words, each in a cache line of its own; see `layout.ts` on the other side. */
const CLAIMED: usize = 64;
const ARRIVED: usize = 128;
const GENERATION: usize = 192;
const SLEEPERS: usize = 256;
const ABORTED: usize = 320;

/** Looks at the generation before going to sleep, a tenth of a millisecond or two: longer than items take. */
const SPINS: i32 = 150_000;
const NAP_NS: i64 = 100_000_000;

/** Threads at work. */
let threads: i32 = 1;
/** This one among them. */
export let thread: i32 = 0;
/** Items claimed so far by a thread that is alone. */
let claimed: i32 = 0;

export function enter(own: i32, all: i32): void {
  thread = own;
  threads = all;
  claimed = 0;
}

/** The next item of this command that nobody has taken. */
// @ts-ignore: decorator
@inline
export function claim(): i32 {
  return threads == 1 ? claimed++ : atomic.add<i32>(CLAIMED, 1);
}

/** Waits until every thread is here: what they have written can be read, and items are new. */
export function barrier(): void {
  claimed = 0;
  if (threads == 1) return;
  const generation = atomic.load<i32>(GENERATION);
  if (atomic.add<i32>(ARRIVED, 1) == threads - 1) {
    atomic.store<i32>(ARRIVED, 0);
    atomic.store<i32>(CLAIMED, 0);
    atomic.add<i32>(GENERATION, 1);
    if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(GENERATION, -1);
    return;
  }
  for (let i = 0; i < SPINS; i++) {
    if (atomic.load<i32>(GENERATION) != generation) return;
  }
  atomic.add<i32>(SLEEPERS, 1);
  while (atomic.load<i32>(GENERATION) == generation) {
    // One of the others has died: nobody will come.
    if (atomic.load<i32>(ABORTED) != 0) unreachable();
    atomic.wait<i32>(GENERATION, generation, NAP_NS);
  }
  atomic.sub<i32>(SLEEPERS, 1);
}
