/** What the fields of bodies and forms may be, each to its bounds, and what is told where they are not. */
import { assertEquals } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import { SCHEDULE_NAMES } from "../src/diffusion/mod.ts";
import { createApp } from "../src/server/mod.ts";
import { flagFromText, numberFromText } from "../src/server/http/schema.ts";
import {
  edits,
  file,
  form,
  hole,
  model,
  restorations,
  stripes,
  variations,
} from "./restoration_forms.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

const LAST = 2 ** 32 - 1;

Deno.test("a text that spells a number is that number, another meets the schema as it is", () => {
  const schema = numberFromText(z.unknown());
  const numbers: Record<string, number> = {
    ...{ "0": 0, "12": 12, "-3": -3, "2.50": 2.5, "-0.5": -0.5, "007": 7 },
    ...{ "1e3": 1000, "1E-3": 0.001, "2.5e+1": 25, "1e00002": 100 },
  };
  for (const [text, number] of Object.entries(numbers)) {
    assertEquals(schema.parse(text), number, text);
  }
  for (
    const text of ["", " 1", "1 ", "+1", ".5", "5.", "1e", "1e123456", "--1", "0x1", "NaN", "1,5"]
  ) {
    assertEquals(schema.parse(text), text);
  }
  for (const value of [5, true, null, []]) assertEquals(schema.parse(value), value);
  const flag = flagFromText(z.unknown());
  for (
    const [text, value] of [["true", true], ["false", false], ["True", "True"], ["1", "1"], [
      "",
      "",
    ]]
  ) {
    assertEquals(flag.parse(text), value);
  }
  assertEquals([flag.parse(true), flag.parse(0)], [true, 0]);
});

Deno.test("each field of a body has its bounds, in the words of the answer", async () => {
  const labels = ["cat", "dog"];
  const app = createApp({
    models: { fake: fakeModel({ labels, nullLabel: 2 }) },
    limits: { maxImages: 4, maxSteps: 50, maxNameLength: 30 },
  });
  const wrong: [body: Record<string, unknown>, expected: string][] = [
    [{ prompt: 3 }, "text"],
    [{ prompt: null }, "text"],
    [{ prompt: "x".repeat(31) }, "at most 30 characters"],
    [{ seed: -1 }, "at least 0"],
    [{ seed: LAST + 1 }, `at most ${LAST}`],
    [{ seed: true }, "a number, or text"],
    [{ seed: 0.5 }, "a whole number, or text"],
    [{ seed: "" }, "at least 1 character"],
    [{ seed: "x".repeat(31) }, "at most 30 characters"],
    [{ with: -1 }, "at least 0"],
    [{ with: LAST + 1 }, `at most ${LAST}`],
    [{ with: "" }, "at least 1 character"],
    [{ with: "x".repeat(31) }, "at most 30 characters"],
    [{ n: 0 }, "at least 1"],
    [{ n: 5 }, "at most 4"],
    [{ n: 1.5 }, "a whole number"],
    [{ n: "2" }, "a number"],
    [{ size: 128 }, "text"],
    [{ size: "1".repeat(21) }, "at most 20 characters"],
    [{ response_format: "png" }, 'one of "b64_json", "url"'],
    [{ stream: "true" }, "true or false"],
    [{ partial_images: 4 }, "at most 3"],
    [{ partial_images: -1 }, "at least 0"],
    [{ output_format: "jpeg" }, '"png"'],
    [{ output_compression: 101 }, "at most 100"],
    [{ output_compression: -1 }, "at least 0"],
    [{ quality: "best" }, 'one of "auto", "standard", "hd", "low", "medium", "high"'],
    [{ style: "plain" }, 'one of "vivid", "natural"'],
    [{ background: "transparent" }, 'one of "auto", "opaque"'],
    [{ moderation: "none" }, 'one of "auto", "low"'],
    [{ user: "u".repeat(201) }, "at most 200 characters"],
    [{ steps: 51 }, "at most 50"],
    [{ steps: 0 }, "at least 1"],
    [{ steps: "5" }, "a number"],
    [{ guidance: 20.5 }, "at most 20"],
    [{ guidance: -1 }, "at least 0"],
    [{ mix: 1.5, with: 2 }, "at most 1"],
    [{ mix: -0.5, with: 2 }, "at least 0"],
    [{ label: -1 }, "at least 0"],
    [{ label: 0.5 }, "text, or a whole number"],
    [{ label: "" }, "at least 1 character"],
    [{ schedule: "square" }, `one of ${SCHEDULE_NAMES.map((name) => `"${name}"`).join(", ")}`],
    [{ model: "" }, "at least 1 character"],
    [{ weights: "w".repeat(201) }, "at most 200 characters"],
    [{ scale: 2 }, "no such parameter, but"],
    [{ sig: "x" }, "no such parameter, but"],
    [{ preview: "none" }, "no such parameter, but"],
  ];
  for (const [body, expected] of wrong) {
    const response = await app.request(generations, post({ prompt: "x", ...body }));
    const { errors } = await response.json();
    const what = JSON.stringify(body);
    assertEquals([response.status, errors?.length], [422, 1], what);
    const { field, expected: told } = errors[0];
    assertEquals([field, told.slice(0, expected.length)], [Object.keys(body)[0], expected], what);
    if (!expected.endsWith("but")) assertEquals(told, expected);
  }
  const right = { prompt: "x".repeat(30), n: 4, steps: 1, seed: LAST, with: 0, mix: 1, label: 1 };
  const rest = {
    ...{ output_compression: 100, partial_images: 3, user: "u".repeat(200), guidance: 20 },
    ...{ response_format: "url", quality: "low", style: "natural", background: "opaque" },
  };
  const response = await app.request(generations, post({ ...right, ...rest, moderation: "low" }));
  assertEquals((await response.json()).data?.length, 4);
});

Deno.test("each field of a form has its bounds, in the words of the answer", async () => {
  const fake = model();
  const app = createApp({ models: { fake } });
  const image = file(stripes()), mask = file(hole());
  const none = "no such parameter, but";
  const wrong: [path: string, fields: Record<string, string>, expected: string][] = [
    [edits, { seed: "-1" }, "at least 0"],
    [edits, { seed: String(LAST + 1) }, `at most ${LAST}`],
    [edits, { seed: "alice" }, "a number"],
    [edits, { n: "1.5" }, "a whole number"],
    [edits, { steps: "0" }, "at least 1"],
    [edits, { steps: "1001" }, "at most 1000"],
    [edits, { guidance: "20.5" }, "at most 20"],
    [edits, { guidance: "-1" }, "at least 0"],
    [edits, { label: "" }, "at least 1 character"],
    [edits, { label: "l".repeat(1001) }, "at most 1000 characters"],
    [edits, { stream: "maybe" }, "true or false"],
    [edits, { partial_images: "-1" }, "at least 0"],
    [edits, { partial_images: "1001" }, "at most 1000"],
    [edits, { response_format: "url" }, '"b64_json"'],
    [edits, { output_format: "webp" }, '"png"'],
    [edits, { user: "u".repeat(201) }, "at most 200 characters"],
    [edits, { quality: "q".repeat(201) }, "at most 200 characters"],
    [edits, { size: "1".repeat(21) }, "at most 20 characters"],
    [edits, { model: "" }, "at least 1 character"],
    [edits, { model: "m".repeat(201) }, "at most 200 characters"],
    [edits, { sampler: "" }, "at least 1 character"],
    [edits, { sampler: "s".repeat(101) }, "at most 100 characters"],
    [edits, { sampler: "magic" }, "one of "],
    [edits, { options: " ".repeat(1001) }, "at most 1000 characters"],
    [edits, { prompt: "p".repeat(1001) }, "at most 1000 characters"],
    [edits, { noise: "0.1" }, none],
    [variations, { strength: "0.009" }, "at least 0.01"],
    [variations, { strength: "1.01" }, "at most 1"],
    [variations, { sampler: "ddrm" }, none],
    [variations, { prompt: "p".repeat(1001) }, "at most 1000 characters"],
    [restorations, { colour: "grey" }, "true or false"],
    [restorations, { scale: "1".repeat(21) }, "at most 20 characters"],
    [restorations, { blur: "1".repeat(61) }, "at most 60 characters"],
    [restorations, { noise: "1".repeat(31) }, "at most 30 characters"],
    [restorations, { prompt: "cat" }, none],
    [restorations, { strength: "0.5" }, none],
  ];
  for (const [path, fields, expected] of wrong) {
    const files: Record<string, File> = path === edits ? { image, mask } : { image };
    const response = await app.request(path, form({ ...files, ...fields }));
    const { errors } = await response.json();
    const what = `${path} ${JSON.stringify(fields)}`;
    assertEquals([response.status, errors?.length], [422, 1], what);
    const { field, expected: told } = errors[0];
    assertEquals([field, told.slice(0, expected.length)], [Object.keys(fields)[0], expected], what);
  }
  const magic = await app.request(edits, form({ image, mask, sampler: "magic" }));
  const { errors: [{ expected }] } = await magic.json();
  const { restorers } = await import("../schedulers/restoration/mod.ts");
  assertEquals(expected, `one of ${Object.keys(restorers).join(", ")}`);
  assertEquals(fake.evaluations, 0);
});
