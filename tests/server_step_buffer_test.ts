/** Steps between a run and a reader: all of them for one that keeps up, the newest for one that does not. */
import { assertEquals, assertRejects } from "@std/assert";
import { StepBuffer } from "../src/server/work/step_buffer.ts";

const KIB = 1024;

/** What a reader gets to the end: the steps, then the result. */
async function rest(reader: AsyncGenerator<number, string>) {
  const steps: number[] = [];
  for (;;) {
    const { done, value } = await reader.next();
    if (done) return { steps, result: value };
    steps.push(value);
  }
}

Deno.test("a reader that keeps up gets every step, however many bytes went through", async () => {
  const buffer = new StepBuffer<number, string>(4 * KIB);
  const reader = buffer.read();
  for (let step = 0; step < 100; step += 3) {
    for (let i = 0; i < 3; i++) buffer.push(step + i, KIB);
    for (let i = 0; i < 3; i++) assertEquals(await reader.next(), { done: false, value: step + i });
  }
  buffer.end("done");
  assertEquals(await rest(reader), { steps: [], result: "done" });
});

Deno.test("a reader that waits gets a step as soon as it is there", async () => {
  const buffer = new StepBuffer<number, string>(KIB);
  const reader = buffer.read();
  const next = reader.next();
  await Promise.resolve();
  buffer.push(7, 1);
  assertEquals(await next, { done: false, value: 7 });
  const last = reader.next();
  await Promise.resolve();
  buffer.end("done");
  assertEquals(await last, { done: true, value: "done" });
});

Deno.test("of more steps than there is room for the newest stay, as many as fit", async () => {
  const buffer = new StepBuffer<number, string>(4 * KIB);
  for (let step = 1; step <= 10; step++) buffer.push(step, KIB);
  buffer.end("done");
  assertEquals(await rest(buffer.read()), { steps: [7, 8, 9, 10], result: "done" });
});

Deno.test("the newest step stays whatever its size, alone", async () => {
  const buffer = new StepBuffer<number, string>(KIB);
  buffer.push(1, 10);
  buffer.push(2, 5 * KIB);
  buffer.end("done");
  assertEquals(await rest(buffer.read()), { steps: [2], result: "done" });
});

Deno.test("what comes after the end is not part of the run", async () => {
  const buffer = new StepBuffer<number, string>(KIB);
  buffer.push(1, 1);
  buffer.end("first");
  buffer.push(2, 1);
  buffer.end("second");
  assertEquals(await rest(buffer.read()), { steps: [1], result: "first" });
});

Deno.test("a failure is told at once, before steps that were not read", async () => {
  const buffer = new StepBuffer<number, string>(KIB);
  const reader = buffer.read();
  buffer.push(1, 1);
  buffer.push(2, 1);
  assertEquals(await reader.next(), { done: false, value: 1 });
  buffer.fail(new Error("the network failed"));
  await assertRejects(() => reader.next(), Error, "the network failed");
});
