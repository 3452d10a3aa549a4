/** Forms with small pictures in them, for the routes that restore. */
import { assertEquals } from "@std/assert";
import type { Pixels } from "../src/image/pixels.ts";
import { encodePng } from "../src/image/png.ts";
import { fakeModel } from "./server_fake.ts";

export const labels = ["cat", "dog", "eel"];
export const model = () => fakeModel({ labels, nullLabel: 3 });

export function stripes(width = 8, height = 8): Pixels {
  const pixels = Uint8Array.from({ length: width * height }, (_, p) => p % 3 === 0 ? 230 : 20);
  return { pixels, width, height, channels: 1 };
}

/** The right half is the hole: white, or transparent. */
export function hole(width = 8, height = 8, transparent = false): Pixels {
  const right = (p: number) => p % width >= width / 2;
  const pixels = transparent
    ? Uint8Array.from(
      { length: 2 * width * height },
      (_, i) => i % 2 === 0 ? 9 : right(i >> 1) ? 0 : 255,
    )
    : Uint8Array.from({ length: width * height }, (_, p) => right(p) ? 255 : 0);
  return { pixels, width, height, channels: transparent ? 2 : 1 };
}

export const file = (picture: Pixels, name = "a.png") =>
  new File([encodePng(picture)], name, { type: "image/png" });

export function form(parts: Record<string, string | File | File[]>): RequestInit {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) {
    for (const part of [value].flat()) body.append(name, part);
  }
  return { method: "POST", body };
}

/** The routes. */
export const edits = "/v1/images/edits", variations = "/v1/images/variations";
export const restorations = "/v1/restorations";

export async function imagesOf(response: Response) {
  const answer = await response.json();
  assertEquals(response.status, 200, JSON.stringify(answer));
  return answer.data as Record<string, string>[];
}
