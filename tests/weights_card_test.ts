/** What model_index.json says of a network beside diffusers' own keys. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { CARD_KEY, classNames, parseCard } from "../src/weights/read/card.ts";
import { refuseLatents } from "../src/weights/read/latents.ts";

const card = (said: unknown, classes: number | null = 3) =>
  parseCard({ [CARD_KEY]: said }, classes, "model_index.json");

Deno.test("the class that means none is one of the network's", () => {
  for (const null_label of [0, 2]) assertEquals(card({ null_label }).null_label, null_label);
  for (const null_label of [-1, 3, 4, 1.5, "2"]) {
    const says =
      `model_index.json: _denoise: null_label: expected an index below num_class_embeds 3, found ${
        JSON.stringify(null_label)
      }`;
    assertEquals(assertThrows(() => card({ null_label }), InputError).message, says);
  }
  const none = "null_label: expected an index below num_class_embeds null, found 0";
  assertThrows(() => card({ null_label: 0 }, null), InputError, none);
});

Deno.test("there are at most as many names as classes, and indices where there are none", () => {
  assertEquals(classNames(card({ labels: ["a", "b"] }), 3), ["a", "b"]);
  assertEquals(classNames(card({}), 3), ["0", "1", "2"]);
  assertEquals(classNames(card({}, null), null), undefined);
  assertEquals(classNames(card({ labels: ["a", "b", "c"] }), 3), ["a", "b", "c"]);
  for (const labels of [["a", "b", "c", "d"], "ab", [1]]) {
    const says = "labels: expected a list of at most 3 names (num_class_embeds), found ";
    assertThrows(() => card({ labels }), InputError, says + JSON.stringify(labels));
  }
  const none = 'labels: expected a list of at most 0 names (num_class_embeds), found ["a"]';
  assertThrows(() => card({ labels: ["a"] }, null), InputError, none);
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
  const expected: Record<string, string> = {
    recommended: "{ scheduler, steps, guidance?, guided? }",
    distilled: "{ teacher, guidance, guided?, steps? }",
  };
  for (const [key, values] of wrong) {
    for (const value of values) {
      const says = `model_index.json: _denoise: ${key}: expected ${expected[key]}, found ${
        JSON.stringify(value)
      }`;
      assertEquals(assertThrows(() => card({ [key]: value }), InputError).message, says);
    }
  }
});

Deno.test("a pipeline whose network makes latents is refused by the part that decodes them", () => {
  const refuses = (index: unknown) => {
    try {
      refuseLatents(index, "model_index.json");
      return undefined;
    } catch (error) {
      return /^model_index\.json: (\S+ is \S+): the network makes latents, which that would turn into pictures, and which is not read; networks of pixels are$/
        .exec((error as Error).message)![1];
    }
  };
  const library = "diffusers";
  for (const part of ["vae", "vqvae", "movq"]) {
    assertEquals(refuses({ [part]: [library, "Mine"] }), `${part} is Mine`);
  }
  const decoders = ["VQModel", "AutoencoderKL", "AsymmetricAutoencoderKL", "ConsistencyDecoderVAE"];
  for (const name of decoders) {
    assertEquals(refuses({ decoder: [library, name] }), `decoder is ${name}`);
  }
  const fine = { unet: [library, "UNet2DModel"], _class_name: "DDPMPipeline", vae: [null, null] };
  for (const index of [undefined, {}, fine, { decoder: [library, "MyAutoencoder"] }]) {
    assertEquals(refuses(index), undefined);
  }
});
