import { assertEquals } from "@std/assert";
import { sha256Hex } from "../src/files/hash.ts";

Deno.test("SHA-256 as FIPS 180-4 gives it, of a part of a buffer too", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const bytes = new TextEncoder().encode("xabcx");
  assertEquals(await sha256Hex(bytes.subarray(1, 4)), abc);
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  assertEquals(await sha256Hex(new Uint8Array()), empty);
});
