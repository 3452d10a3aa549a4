import { assertEquals, assertRejects } from "@std/assert";
import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import { firstThatCan } from "../src/backends/auto.ts";
import type { Backend, OnnxBackend } from "../src/backends/backend.ts";
import { backendNames } from "../src/backends/names.ts";
import { backendByName } from "../src/backends/select.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { wasmInline } from "../src/backends/onnxruntime/wasm_inline.ts";
import { emit, portable } from "../src/onnx/mod.ts";
import { Graph, siluGrad } from "../src/graph/mod.ts";
import { doubling } from "./backend_models.ts";

const fail = () => Promise.reject(new Error("gpu: out of memory"));
const broken: OnnxBackend = { name: "gpu", createSession: fail, createOnnxSession: fail };
const give = (backend: Backend) => () => Promise.resolve(backend);
const { graph } = doubling();

Deno.test("auto: an engine that cannot load a graph leaves it to the next, with a notice", async () => {
  const notices: string[] = [];
  const order = [give(broken), give(simdInline()), give(wasmInline(ort))];
  const backend = await firstThatCan(order, (notice) => notices.push(notice));
  const session = await backend.createSession(graph);
  assertEquals(notices, ["gpu: out of memory; using simd instead"]);
  assertEquals(backend.name, "simd");
  await session.close();
});

Deno.test("auto: an operation that simd has not goes to wasm, and the notice names it", async () => {
  const notices: string[] = [];
  const order = [give(simdInline()), give(wasmInline(ort))];
  const backend = await firstThatCan(order, (notice) => notices.push(notice));
  const gradient = new Graph();
  const x = gradient.input("x", [4]);
  gradient.output("y", siluGrad(x, x));
  const session = await backend.createSession(gradient);
  assertEquals(backend.name, "wasm");
  assertEquals(notices, [
    'simd: cannot load the graph: it has no kernel for the operation "siluGrad"; using wasm instead',
  ]);
  await session.close();
});

Deno.test("auto: ONNX models go to the first engine that takes them, without a word", async () => {
  const notices: string[] = [];
  const order = [give(simdInline()), give(wasmInline(ort))];
  const backend = await firstThatCan(order, (notice) => notices.push(notice));
  const session = await backend.createOnnxSession(emit(graph, { lowering: portable }));
  assertEquals([backend.name, notices], ["wasm", []]);
  await session.close();
});

Deno.test("auto: where none can, the first one's reason is told", async () => {
  const backend = await firstThatCan([give(broken)]);
  await assertRejects(() => backend.createSession(graph), Error, "gpu: out of memory");
  // Nor need an engine be one that starts ahead.
  backend.prepare!();
  backend.release!();
});

Deno.test("auto: what has failed is not asked again, and what comes last always is", async () => {
  const asked: string[] = [];
  const engine = (name: string, works: () => boolean): Backend => ({
    name,
    async createSession(...of) {
      asked.push(name);
      if (!works()) throw new Error(`${name}: no`);
      return await simdInline().createSession(...of);
    },
  });
  const notices: string[] = [];
  let opened = 0, last = false;
  const backend = await firstThatCan([
    () => (opened++, Promise.resolve(engine("first", () => false))),
    give(engine("second", () => last)),
  ], (notice) => notices.push(notice));
  await assertRejects(() => backend.createSession(graph), Error, "first: no");
  assertEquals([backend.name, asked.splice(0)], ["first", ["first", "second"]]);
  await assertRejects(() => backend.createSession(graph), Error, "second: no");
  assertEquals(asked.splice(0), ["second"]);
  last = true;
  await (await backend.createSession(graph)).close();
  assertEquals([backend.name, asked, notices, opened], ["second", ["second"], [], 1]);
});

Deno.test("a backend that is none is refused with the names there are", async () => {
  await assertRejects(
    () => backendByName("cuda"),
    Error,
    `expected a backend of ${backendNames.join(", ")}, found "cuda"`,
  );
});
