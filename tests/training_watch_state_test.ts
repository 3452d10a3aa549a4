/** How far a run is by its files, and what its page answers. */
import { assertEquals, assertRejects } from "@std/assert";
import { watchApp } from "../src/cli/watch/app.ts";
import { LogTail } from "../src/cli/watch/log_tail.ts";
import { RunFolder } from "../src/cli/watch/run_state.ts";
import { watchRun } from "../src/cli/watch/watch.ts";
import { temporaryFolder } from "./cli.ts";
import { heldTime } from "./held_time.ts";

const line = (step: number, ms = 10, loss = 1) => ({ step, loss, grad_norm: 1, lr: 1e-3, ms });
const logOf = (...lines: ReturnType<typeof line>[]) =>
  lines.map((one) => `${JSON.stringify(one)}\n`).join("");
const upTo = (count: number) => Array.from({ length: count }, (_, i) => line(i + 1));

/** A folder with files by name; JSON where they are no text. */
async function runWith(contents: Record<string, unknown>) {
  const folder = await temporaryFolder();
  const write = async (name: string, content: unknown) => {
    const path = `${folder.path}/run/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, typeof content === "string" ? content : JSON.stringify(content));
  };
  for (const [name, content] of Object.entries(contents)) await write(name, content);
  const run = new RunFolder(`${folder.path}/run`);
  return { run, write, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("a log is read on from its last whole line, and anew where updates come again", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/log.jsonl`;
  const log = new LogTail(path);
  const steps = async () => (await log.read()).map(({ step }) => step).join();
  const all = upTo(9);
  await Deno.writeTextFile(path, logOf(...all.slice(0, 3)));
  assertEquals(await steps(), "1,2,3");
  for (const [i, expected] of [[3, "1,2,3,4"], [4, "1,2,3,4,5"], [5, "1,2,3,4,5,6"]] as const) {
    await Deno.writeTextFile(path, logOf(all[i]), { append: true });
    assertEquals(await steps(), expected);
  }
  assertEquals(await steps(), "1,2,3,4,5,6", "nothing new");
  const next = logOf(all[6]);
  await Deno.writeTextFile(path, next.slice(0, -1), { append: true });
  assertEquals(await steps(), "1,2,3,4,5,6", "a line without its end");
  await Deno.writeTextFile(path, "\n", { append: true });
  assertEquals(await steps(), "1,2,3,4,5,6,7");
  // The run went back to update 6 and has made the seventh again: the log is as long as it was.
  const again = [...all.slice(0, 6), { ...all[6], loss: 2 }];
  await Deno.writeTextFile(path, logOf(...again, { ...all[6] }));
  assertEquals(await steps(), "1,2,3,4,5,6,7,7");
  assertEquals((await log.read())[6].loss, 2, "as it was made again");
  await Deno.writeTextFile(path, `${logOf(all[0])}not JSON\n${logOf(all[1])}`);
  assertEquals(await steps(), "1,2");
  await Deno.remove(path);
  assertEquals(await steps(), "");
  await Deno.mkdir(path);
  await assertRejects(() => log.read(), Error);
});

Deno.test("two who ask at once read the log once", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/log.jsonl`;
  await Deno.writeTextFile(path, logOf(...upTo(2)));
  const log = new LogTail(path);
  const [first, second] = await Promise.all([log.read(), log.read()]);
  assertEquals([first.length, second === first], [2, true]);
});

Deno.test("loss and speed are means of the last 50 updates, the time left is that of the rest", async () => {
  const lines = Array.from(
    { length: 60 },
    (_, i) => line(i + 1, i < 10 ? 1e6 : 20, i < 10 ? 9 : 2),
  );
  await using files = await runWith({
    "recipe.json": { steps: 160 },
    "log.jsonl": logOf(...lines),
    // In no order, from either end.
    "samples/step-00000020.png": "",
    "samples/step-00000100.png": "",
    "samples/step-00000003.png": "",
    "samples/step-00000050.png": "",
    "samples/step-00000004.png.part": "",
    "samples/step-5.png": "",
  });
  const { stages: [stage], ...state } = await files.run.state();
  const whole = { name: "run", current: 0, done: 60, updates: 160, secondsLeft: 2 };
  assertEquals(state, whole);
  assertEquals(stage, {
    name: "",
    updates: 160,
    done: 60,
    loss: 2,
    msPerUpdate: 20,
    grids: [3, 20, 50, 100],
  });
  // A run whose recipe was cut shorter than it is has nothing left.
  await files.write("recipe.json", { steps: 40 });
  assertEquals((await files.run.state()).secondsLeft, 0);
  await files.write("recipe.json", {});
  const unknown = await files.run.state();
  assertEquals([unknown.updates, unknown.secondsLeft], [undefined, undefined]);
});

Deno.test("a folder that is not there yet is a run before its first update, under its own name", async () => {
  await using folder = await temporaryFolder();
  for (const name of ["mine", "mine/", "mine//", "a\\mine"]) {
    const state = await new RunFolder(`${folder.path}/${name}`).state();
    assertEquals([state.name, state.done, state.current, state.updates], ["mine", 0, 0, undefined]);
    const stage = { name: "", updates: undefined, done: 0, grids: [] };
    assertEquals(state.stages, [{ ...stage, loss: undefined, msPerUpdate: undefined }]);
  }
});

Deno.test("a run in the root of all is called by its path", async () => {
  assertEquals((await new RunFolder("/").state()).name, "/");
});

Deno.test("a distillation's stages: guided where there is guidance to fold in, then each student", async () => {
  const recipe = { students: [4, 2], student_updates: [30, 20], guide_updates: 10 };
  const told = async (files: Awaited<ReturnType<typeof runWith>>) => {
    const { stages, current, done, updates } = await files.run.state();
    return [stages.map(({ name, done }) => `${name} ${done}`).join(), current, done, updates];
  };
  await using files = await runWith({ "recipe.json": recipe });
  assertEquals(await told(files), ["guided 0,steps-4 0,steps-2 0", 0, 0, 60], "to come");
  await files.write("guided/log.jsonl", logOf(...upTo(10)));
  assertEquals(await told(files), ["guided 10,steps-4 0,steps-2 0", 0, 10, 60]);
  await files.write("steps-4/samples/step-00000000.png", "");
  assertEquals(
    await told(files),
    ["guided 10,steps-4 0,steps-2 0", 1, 10, 60],
    "by its first grid",
  );
  await files.write("steps-4/log.jsonl", logOf(...upTo(5)));
  assertEquals(await told(files), ["guided 10,steps-4 5,steps-2 0", 1, 15, 60]);
  // A teacher with nothing to fold in is halved at once.
  await using other = await runWith({
    "recipe.json": recipe,
    "steps-4/log.jsonl": logOf(...upTo(5)),
  });
  assertEquals(await told(other), ["steps-4 5,steps-2 0", 0, 5, 50]);
  for (const guide_updates of [0, undefined]) {
    await using none = await runWith({ "recipe.json": { ...recipe, guide_updates } });
    assertEquals(await told(none), ["steps-4 0,steps-2 0", 0, 0, 50]);
  }
  await using tuned = await runWith({ "recipe.json": { ...recipe, tune_updates: 40 } });
  assertEquals(await told(tuned), ["guided 0,steps-4 0,steps-2 0,tuned 0", 0, 0, 100]);
});

Deno.test("the page answers by this machine's names, and keeps nothing", async () => {
  await using files = await runWith({
    "recipe.json": { steps: 2 },
    "log.jsonl": logOf(...upTo(2)),
    "samples/step-00000002.png": "grid of the run",
    "samples/step-00000019.png": "another of the run",
    "steps-4/samples/step-00000001.png": "grid of a student",
    "guided/samples/step-00000001.png": "grid of the guided teacher",
    "tuned/samples/step-00000001.png": "grid of the one that is tuned",
    "steps-4x/samples/step-00000001.png": "not a stage",
  });
  const events: string[] = [];
  const app = watchApp(files.run, {
    ended: () => (events.push("ended?"), true),
    onAsked: () => events.push("asked"),
  });
  const { run } = files;
  const state = run.state.bind(run);
  run.state = () => (events.push("read"), state());
  const get = async (path: string, host = "127.0.0.1:80") => {
    const response = await app.request(`http://${host}${path}`);
    return [response.status, await response.text(), response.headers] as const;
  };
  for (const host of ["127.0.0.1:1234", "localhost", "[::1]:1234"]) {
    assertEquals((await get("/", host))[0], 200, host);
  }
  for (const host of ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"]) {
    const [status, text] = await get("/state.json", host);
    assertEquals([status, text], [421, "expected the address that was printed\n"], host);
  }
  const paths = ["/", "/page.css", "/page.js", "/state.json", "/loss.svg", "/samples/2.png"];
  for (const path of paths) {
    const [status, , headers] = await get(path);
    assertEquals([status, headers.get("cache-control")], [200, "no-store"], path);
  }
  assertEquals(events, ["ended?", "read", "asked"], "asked for its end before it is read");
  assertEquals(JSON.parse((await get("/state.json"))[1]).ended, true);
  assertEquals((await get("/samples/2.png?stage="))[1], "grid of the run");
  assertEquals((await get("/samples/1.png?stage=steps-4"))[1], "grid of a student");
  assertEquals((await get("/samples/1.png?stage=guided"))[1], "grid of the guided teacher");
  assertEquals((await get("/samples/1.png?stage=tuned"))[1], "grid of the one that is tuned");
  for (const name of ["19", "00000019"]) {
    assertEquals((await get(`/samples/${name}.png`))[1], "another of the run");
  }
  const stages: [string, number][] = [
    ["", 200],
    ["guided", 200],
    ["tuned", 200],
    ["steps-123456", 200],
    ["steps-1234567", 404],
    ["steps-", 404],
    ["guided/", 404],
  ];
  for (const [stage, status] of stages) {
    assertEquals((await get(`/loss.svg?stage=${stage}`))[0], status, stage);
  }
  for (
    const path of [
      "/samples/000000019.png",
      "/samples/1.png",
      "/samples/1.png?stage=steps-4x",
      "/samples/x.png",
      "/x",
    ]
  ) {
    assertEquals((await get(path))[0], 404, path);
  }
  assertEquals((await get("/loss.svg?stage=xguided"))[0], 404);
  const [, , headers] = await get("/");
  assertEquals(
    headers.get("content-security-policy"),
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'",
  );
  assertEquals(headers.get("strict-transport-security"), null, "other ports of this machine");
  const types: Record<string, string> = {
    "/": "text/html; charset=UTF-8",
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/state.json": "application/json",
    "/loss.svg": "image/svg+xml",
    "/samples/2.png": "image/png",
  };
  for (const [path, type] of Object.entries(types)) {
    assertEquals((await get(path))[2].get("content-type"), type, path);
  }
});

Deno.test("the page's thread may die: the run goes on, and its end waits for no answer", async () => {
  const { Worker } = globalThis;
  const done: string[] = [];
  let thread: { onerror?(event: Event): void; onmessage?(event: MessageEvent): void } = {};
  globalThis.Worker = class {
    constructor() {
      thread = this as typeof thread;
    }
    postMessage({ kind }: { kind: string }) {
      done.push(kind);
      const data = { kind: "listening", address: "http://localhost:1/" };
      if (kind === "start") queueMicrotask(() => thread.onmessage!({ data } as MessageEvent));
    }
    terminate() {
      done.push("terminated");
    }
  } as unknown as typeof Worker;
  try {
    await using page = await watchRun("run", 0);
    assertEquals(page.address, "http://localhost:1/");
    const event = new ErrorEvent("error", { message: "broke", cancelable: true });
    thread.onerror!(event);
    assertEquals(event.defaultPrevented, true, "else it would end the process");
  } finally {
    globalThis.Worker = Worker;
  }
  assertEquals(done, ["start", "end", "terminated"]);
});

Deno.test("at its end a page that is looked at is served for a last look, and no answer is waited for too long", async () => {
  await using folder = await temporaryFolder();
  const { onmessage, postMessage } = globalThis as { onmessage?: unknown; postMessage?: unknown };
  const { serve } = Deno;
  const { now } = performance;
  const told: { kind: string; address?: string; why?: string }[] = [];
  let clock = 0, handler: (request: Request) => Response | Promise<Response>, down = 0;
  performance.now = () => clock;
  Object.assign(globalThis, { postMessage: (message: typeof told[0]) => told.push(message) });
  // A server that never gets rid of who asks.
  Object.assign(Deno, {
    serve(options: { onListen(at: { port: number }): void }, fetch: typeof handler) {
      handler = fetch;
      options.onListen({ port: 81 });
      return { shutdown: () => (down++, new Promise(() => {})) };
    },
  });
  try {
    await import(new URL("../src/cli/watch/worker.ts", import.meta.url).href);
    const say = (data: unknown) =>
      (globalThis as unknown as { onmessage(event: { data: unknown }): unknown }).onmessage({
        data,
      });
    say({ kind: "start", folder: `${folder.path}/run`, port: 0 });
    assertEquals(told, [{ kind: "listening", address: "http://127.0.0.1:81/" }]);
    const ask = async () =>
      await (await handler(new Request("http://127.0.0.1:81/state.json"))).json();
    // Asked at 1000: looked at until just before 6000.
    clock = 1000;
    assertEquals((await ask()).ended, false);
    for (const [at, looks] of [[5999, true], [6000, false]] as const) {
      told.length = down = 0;
      clock = at;
      using time = heldTime();
      const ended = say({ kind: "end" });
      if (looks) {
        await time.pass(2499);
        assertEquals([told.length, down], [0, 0], "it is still served");
        await time.pass(1);
      }
      await time.pass(999);
      assertEquals([told.length, down], [0, 1], "answers under way get their time");
      await time.pass(1);
      await ended;
      assertEquals(told, [{ kind: "ended" }]);
    }
    clock = 9000;
    assertEquals((await ask()).ended, true);
    const taken = (error: Error, why: string) => {
      Object.assign(Deno, {
        serve() {
          throw error;
        },
      });
      say({ kind: "start", folder: "run", port: 81 });
      assertEquals(told.at(-1), { kind: "failed", why });
    };
    taken(new Deno.errors.AddrInUse("os error 98"), "another program listens there");
    taken(new Error("no"), "Error: no");
  } finally {
    performance.now = now;
    Object.assign(Deno, { serve });
    Object.assign(globalThis, { onmessage, postMessage });
  }
});
