/// <reference lib="dom" />
/** A visitor's own picture: chosen, or dropped on a section. */
import { element, input } from "./dom.ts";

/**
 * @param section the section's id, where pictures may be dropped
 * @param file the file input's id
 */
export function acceptPictures(section: string, file: string, take: (picture: Blob) => void): void {
  const chosen = input(file);
  chosen.addEventListener("change", () => {
    const [picture] = chosen.files ?? [];
    if (picture) take(picture);
    // The same file may be chosen again.
    chosen.value = "";
  });
  const area = element(section, HTMLElement);
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    const [dropped] = event.dataTransfer?.files ?? [];
    if (dropped) take(dropped);
  });
}

/** Why a file cannot be shown. */
export function unreadable({ type }: Blob): string {
  return `that is not a picture this browser reads (${type || "?"})`;
}
