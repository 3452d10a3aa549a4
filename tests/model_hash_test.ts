/** What weights are known by: recipes, ETags and caches have it, so that it may not change by itself. */
import { assertEquals } from "@std/assert";
import { sha256Hex } from "../src/files/hash.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { filesOf } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";

Deno.test("SHA-256 as FIPS 180-4 gives it, of a part of a buffer too", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const bytes = new TextEncoder().encode("xabcx");
  assertEquals(await sha256Hex(bytes.subarray(1, 4)), abc);
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assertEquals(await sha256Hex(new Uint8Array()), empty);
});

Deno.test("a folder's hash is of its network, its schedule as written, its card, and its weights' own", async () => {
  const golden = new URL("./golden/class_conditional/", import.meta.url);
  const text = (name: string) => Deno.readTextFileSync(new URL(name, golden));
  const bytes = (text: string) => new TextEncoder().encode(text);
  const config = text("unet/config.json"), index = text("model_index.json");
  const scheduler = text("scheduler/scheduler_config.json");
  const weights = Deno.readFileSync(
    new URL("unet/diffusion_pytorch_model.safetensors", golden),
  );
  const hashOf = async (files: Record<string, Uint8Array>) =>
    (await readFolder(filesOf({ "config.json": bytes(config), ...files }))).hash;
  const expected = (...facts: unknown[]) =>
    sha256Hex(bytes(JSON.stringify([JSON.parse(config), ...facts])));
  const own = await sha256Hex(weights);
  const name = "diffusion_pytorch_model.safetensors";
  assertEquals(await hashOf({ [name]: weights }), await expected(null, null, own));
  const whole = {
    [name]: weights,
    "scheduler_config.json": bytes(scheduler),
    "model_index.json": bytes(index),
  };
  const card = JSON.parse(index)._denoise;
  assertEquals(await hashOf(whole), await expected(scheduler, card, own));

  // Of shards the hash is that of theirs, a line each, by their names.
  const tensors = [...parseSafetensors(weights).tensors];
  const shards = [tensors.slice(3), tensors.slice(0, 3)].map((some) =>
    writeSafetensors(new Map(some))
  );
  const weight_map = Object.fromEntries(
    tensors.map(([key], i) => [key, i < 3 ? "b.safetensors" : "a.safetensors"]),
  );
  const map = JSON.stringify({ weight_map });
  const lines = (await Promise.all(shards.map(sha256Hex))).join("\n");
  assertEquals(
    await hashOf({
      [`${name}.index.json`]: bytes(map),
      "a.safetensors": shards[0],
      "b.safetensors": shards[1],
    }),
    await expected(null, null, await sha256Hex(bytes(lines))),
  );
});
