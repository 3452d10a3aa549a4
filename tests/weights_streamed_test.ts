/** Folders whose weights are read tensor by tensor, straight into the engine's memory. */
import { createHash } from "node:crypto";
import { assertEquals, assertRejects } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { InputError } from "../src/errors.ts";
import { openModel, openStreamed } from "../src/model/model.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { type Digest, type StreamedFiles, streamFolder } from "../src/weights/read/streamed.ts";
import { ramp } from "./backend_models.ts";

function digest(): Digest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

/** A folder's files in pieces of some bytes; `change` is what became of the weights on the way. */
function inPieces(
  folder: URL,
  size: number,
  change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): StreamedFiles {
  const files = filesAt(folder);
  return {
    ...files,
    async stream(path) {
      const whole = await files.read(path);
      if (!whole) return undefined;
      const bytes = change(whole.slice());
      let at = 0;
      return new ReadableStream({
        pull(controller) {
          if (at >= bytes.length) return controller.close();
          controller.enqueue(bytes.slice(at, at += size));
        },
      });
    },
  };
}

const golden = (name: string) => new URL(`./golden/${name}/`, import.meta.url);

for (const [name, compact] of [["ddpm_legacy_fp16", true], ["class_conditional", false]] as const) {
  Deno.test(`streamed: ${name} is the same model, bit for bit and in its hash`, async () => {
    const backend = simdInline({ compact });
    await using whole = await openModel(await readFolder(filesAt(golden(name))), backend);
    await using streamed = await openStreamed(
      await streamFolder(inPieces(golden(name), 1009), digest()),
      backend,
    );
    assertEquals(streamed.hash, whole.hash);
    assertEquals(streamed.recommended, whole.recommended);
    const x = ramp(2 * whole.shape.reduce((a, b) => a * b));
    const t = Float32Array.of(10, 500);
    const labels = name === "class_conditional" ? Int32Array.of(0, 2) : undefined;
    assertEquals(await streamed.predict(x, t, labels), await whole.predict(x, t, labels));
    await assertRejects(
      () => streamed.vjp!(x, t, x, labels),
      InputError,
      "gradients of the network do not run on simd (its weights were read once)",
    );
  });
}

const longer = (bytes: Uint8Array) => {
  const all = new Uint8Array(bytes.length + 1);
  all.set(bytes);
  return all;
};

const wrong: Record<string, [change: (bytes: Uint8Array) => Uint8Array, message: string]> = {
  "a file that ends early": [(b) => b.subarray(0, -3), "3 bytes more, found the end of the file"],
  "no more than a header's length": [(b) => b.subarray(0, 8), "found the end of the file"],
  "bytes behind the last tensor": [longer, "belong to none"],
  "a header of 2⁶⁰ bytes": [(b) => (b[7] = 16, b), "found a length of 1152921"],
  "a number that is none": [(b) => (b.fill(0x7e, b.length - 2), b), "not finite"],
};

for (const [about, [change, message]] of Object.entries(wrong)) {
  Deno.test(`streamed: ${about} is refused`, async () => {
    const open = async () => {
      const files = inPieces(golden("ddpm_legacy_fp16"), 4096, change);
      return openStreamed(await streamFolder(files, digest()), simdInline());
    };
    await assertRejects(open, InputError, message);
  });
}

Deno.test("streamed: a folder without a network or without weights is refused by name", async () => {
  const none = inPieces(new URL("./golden/", import.meta.url), 4096);
  await assertRejects(() => streamFolder(none, digest()), InputError, "config.json");
  const files = inPieces(golden("ddpm_legacy_fp16"), 4096);
  const without = { ...files, stream: () => Promise.resolve(undefined) };
  await assertRejects(() => streamFolder(without, digest()), InputError, "found neither");
});
