/** Who is let in, who waits and who starts: the queue of a server's pictures. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Problem } from "../src/server/problem.ts";
import { Admission } from "../src/server/work/admission.ts";

const make = (maxQueue: number, maxRunning: number, speed = 1) =>
  new Admission({ maxQueue, maxRunning }, () => speed);

const calm = new AbortController().signal;

/** What has happened by now, without waiting for the rest. */
const now = () => new Promise((resolve) => setTimeout(resolve));

function refusal(work: () => unknown): Problem {
  const error = assertThrows(work, Problem);
  assert(error instanceof Problem);
  return error;
}

Deno.test("a queue takes what just fits, and says of more how long it takes until that fits", () => {
  const admission = make(10, 4, 2);
  admission.check(10);
  admission.enter(7);
  admission.check(3);
  const { status, reason, message, headers } = refusal(() => admission.check(7));
  assertEquals([status, reason, headers["retry-after"]], [503, "overloaded", "2"]);
  assertEquals(message, "the queue holds 7 of 10 evaluations; 7 more do not fit");
  assertEquals(admission.cost, 7, "a check takes nothing");
  refusal(() => admission.enter(4));
  assertEquals(admission.cost, 7, "neither does what is refused");
  admission.enter(3);
  assertEquals(admission.cost, 10);
  // Where nothing has been measured yet, an evaluation a second is assumed.
  const cold = make(10, 4, 0);
  cold.enter(10);
  assertEquals(refusal(() => cold.check(5)).headers["retry-after"], "5");
});

Deno.test("as many run as may, the others start in the order in which they came", async () => {
  const admission = make(100, 2);
  const started: number[] = [];
  const places = Array.from({ length: 5 }, (_, i) => {
    const place = admission.enter(1);
    place.acquire(calm).then(() => started.push(i));
    return place;
  });
  await now();
  assertEquals([started, admission.running, admission.waiting], [[0, 1], 2, 3]);
  for (const [i, expected] of [[1, 2], [0, 3], [2, 4]]) {
    places[i].release();
    await now();
    assertEquals([started.at(-1), admission.running], [expected, 2]);
  }
  for (const i of [3, 4]) places[i].release();
  assertEquals([admission.running, admission.waiting, admission.cost], [0, 0, 0]);
});

Deno.test("a place that is given back twice is given back once", async () => {
  const admission = make(100, 1);
  const [first, second] = [admission.enter(5), admission.enter(3)];
  await first.acquire(calm);
  await Promise.all([first.release(), first.release(), second.acquire(calm)]);
  assertEquals([admission.cost, admission.running], [3, 1]);
  second.release();
  assertEquals([admission.cost, admission.running], [0, 0]);
});

Deno.test("who has left before it waits takes no slot, and hears why", async () => {
  const admission = make(100, 1);
  const place = admission.enter(1);
  const gone = AbortSignal.abort(new Error("gone"));
  await assertRejects(() => place.acquire(gone), Error, "gone");
  place.release();
  assertEquals([admission.running, admission.cost], [0, 0]);
});

Deno.test("a server is idle when every place was given back, at once where there is none", async () => {
  const admission = make(100, 1);
  await admission.idle();
  const [first, second] = [admission.enter(1), admission.enter(1)];
  let idle = 0;
  for (let i = 0; i < 2; i++) admission.idle().then(() => idle++);
  first.release();
  await now();
  assertEquals(idle, 0);
  second.release();
  await now();
  assertEquals(idle, 2, "everybody who asked is told");
});

Deno.test("a closed queue lets nobody in, and what is in it finishes", async () => {
  const admission = make(100, 1);
  const place = admission.enter(1);
  admission.close();
  for (const cost of [0, 1]) {
    const { status, reason, headers } = refusal(() => admission.enter(cost));
    assertEquals([status, reason, headers["retry-after"]], [503, "draining", "5"]);
  }
  await place.acquire(calm);
  place.release();
  await admission.idle();
});
