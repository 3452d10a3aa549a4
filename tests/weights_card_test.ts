/** What model_index.json says of a network beside diffusers' own keys. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { CARD_KEY, classNames, parseCard } from "../src/weights/read/card.ts";

const card = (said: unknown, classes: number | null = 3) =>
  parseCard({ [CARD_KEY]: said }, classes, "model_index.json");

Deno.test("the class that means none is one of the network's", () => {
  for (const null_label of [0, 2]) assertEquals(card({ null_label }).null_label, null_label);
  for (const null_label of [-1, 3, 4, 1.5, "2"]) {
    assertThrows(() => card({ null_label }), InputError, "_denoise: null_label: expected");
  }
  assertThrows(() => card({ null_label: 0 }, null), InputError, "_denoise: null_label: expected");
});

Deno.test("there are at most as many names as classes, and indices where there are none", () => {
  assertEquals(classNames(card({ labels: ["a", "b"] }), 3), ["a", "b"]);
  assertEquals(classNames(card({}), 3), ["0", "1", "2"]);
  assertEquals(classNames(card({}, null), null), undefined);
  for (const labels of [["a", "b", "c", "d"], "ab", [1]]) {
    assertThrows(() => card({ labels }), InputError, "_denoise: labels: expected");
  }
  assertThrows(() => card({ labels: ["a"] }, null), InputError, "_denoise: labels: expected");
});

Deno.test("names of classes are in the form that keyboards give, in whichever they were written", () => {
  const names = ["café", "naïve", "Å"];
  for (const form of ["NFC", "NFD"]) {
    const labels = names.map((name) => name.normalize(form));
    assertEquals(card({ labels }).labels, names.map((name) => name.normalize("NFC")), form);
  }
});

Deno.test("what is recommended and how it was distilled have all their parts, of the right kinds", () => {
  const fine: Record<string, unknown>[] = [
    { recommended: { scheduler: "ddim", steps: 1 } },
    { recommended: { scheduler: "ddim", steps: 50, guidance: 1.5 } },
    { recommended: { scheduler: "ddim", steps: 50, guided: [0, 500.5] } },
    { distilled: { teacher: "heroes", guidance: 2 } },
    { distilled: { teacher: "heroes", guidance: 2, guided: [170, 880] } },
    { distilled: { teacher: "heroes", guidance: 0, steps: 1 } },
    {},
  ];
  for (const said of fine) assertEquals(card(said) as unknown, said);
  const wrong: [string, unknown[]][] = [
    ["recommended", [7, {}, { scheduler: "ddim" }, { scheduler: 7, steps: 1 }, { steps: 1 }]],
    ["recommended", [{ scheduler: "ddim", steps: 0 }, { scheduler: "ddim", steps: 1.5 }]],
    ["recommended", [{ scheduler: "ddim", steps: 1, guidance: "2" }]],
    ["distilled", ["heroes", {}, { teacher: "heroes" }, { guidance: 1 }, {
      teacher: 1,
      guidance: 1,
    }]],
    ...[[5, 4], [1], [-1, 4], "170-880", 7].map((guided): [string, unknown[]] => [
      "recommended",
      [{ scheduler: "ddim", steps: 1, guided }],
    ]),
    ["distilled", [{ teacher: "heroes", guidance: 1, guided: [5, 4] }]],
    ["distilled", [0, -1, 1.5, "4"].map((steps) => ({ teacher: "heroes", guidance: 1, steps }))],
  ];
  for (const [key, values] of wrong) {
    for (const value of values) {
      assertThrows(() => card({ [key]: value }), InputError, `_denoise: ${key}: expected {`);
    }
  }
});
