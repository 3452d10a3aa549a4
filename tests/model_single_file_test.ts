/** Weights in one npz, as numpy may have written it. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { writeNpy } from "../src/files/npy.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { filesOfNpz, networkFiles } from "../src/weights/read/single_file.ts";

Deno.test("doubles of an npz are rounded to float32; whole numbers are refused by name", async () => {
  const doubles = writeNpy({ shape: [2], data: Float64Array.of(0.1, 2) });
  const files = filesOfNpz(new Map([["w.npy", doubles]]), "w.npz");
  const weights =
    parseSafetensors((await files.read(networkFiles("unet").weights))!, "w.npz").tensors;
  assertEquals(weights.get("w"), { shape: [2], data: Float32Array.of(0.1, 2) });
  const whole = writeNpy({ shape: [1], data: Int32Array.of(1) });
  const refused = () => filesOfNpz(new Map([["n.npy", whole]]), "w.npz");
  assertThrows(refused, InputError, "w.npz/n.npy: expected floats, found whole numbers");
});
