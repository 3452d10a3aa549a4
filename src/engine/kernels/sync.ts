// How threads share the work of a command: they claim its items one by one and go on when all are done.
// Nobody waits for a thread that has claimed none: one that wakes up late joins where the others are.

/** The shared words, each in a cache line of its own; see `layout.ts` on the other side. */
const NEXT: usize = 64;
const DONE: usize = 128;
const SLEEPERS: usize = 192;
const ABORTED: usize = 256;

/** Looks at the phase before going to sleep, a tenth of a millisecond or two: longer than items take. */
const SPINS: i32 = 150_000;
const NAP_NS: i64 = 100_000_000;

/** Threads at work. */
let threads: i32 = 1;
/** This one among them. */
export let thread: i32 = 0;
/** Which of all phases there ever were in this memory this thread is in: a phase ends with a barrier. */
let phase: u32 = 0;
/** Items of this phase that this thread has claimed. */
let claimed: i32 = 0;

export function enter(own: i32, all: i32, first: u32): void {
  thread = own;
  threads = all;
  phase = first;
  claimed = 0;
}

/**
 * The next of this phase's `total` items that nobody has taken, or `total`. NEXT is the phase in its
 * upper half and the item in its lower one: who comes late takes nothing from a later phase.
 */
export function claim(total: i32): i32 {
  if (threads == 1) return claimed++;
  let now = atomic.load<u64>(NEXT);
  while (<u32> (now >> 32) == phase && <i32> now < total) {
    const found = atomic.cmpxchg<u64>(NEXT, now, now + 1);
    if (found == now) {
      claimed++;
      return <i32> now;
    }
    now = found;
  }
  return total;
}

/** Waits until all items of this phase are done: what was written can be read. */
export function barrier(total: i32): void {
  const own = claimed;
  claimed = 0;
  if (threads == 1) return;
  if (total <= 0) {
    const now = <u64> phase << 32;
    atomic.cmpxchg<u64>(NEXT, now, <u64> ++phase << 32);
    return;
  }
  if (own > 0 && atomic.add<i32>(DONE, own) + own == total) {
    atomic.store<i32>(DONE, 0);
    atomic.store<u64>(NEXT, <u64> ++phase << 32);
    if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(NEXT + 4, -1);
    return;
  }
  const ended = phase++;
  for (let i = 0; i < SPINS; i++) {
    if (atomic.load<u32>(NEXT + 4) != ended) return;
  }
  atomic.add<i32>(SLEEPERS, 1);
  while (atomic.load<u32>(NEXT + 4) == ended) {
    // One of the others has died: nobody will come.
    if (atomic.load<i32>(ABORTED) != 0) unreachable();
    atomic.wait<i32>(NEXT + 4, ended, NAP_NS);
  }
  atomic.sub<i32>(SLEEPERS, 1);
}
