/// <reference lib="dom" />
/** The page's elements, by id. */

/** @throws Error where the page has no such element of that kind */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with the id ${id}`);
}

export const canvas = (id: string): HTMLCanvasElement => element(id, HTMLCanvasElement);
export const input = (id: string): HTMLInputElement => element(id, HTMLInputElement);
export const select = (id: string): HTMLSelectElement => element(id, HTMLSelectElement);
export const output = (id: string): HTMLOutputElement => element(id, HTMLOutputElement);
export const button = (id: string): HTMLButtonElement => element(id, HTMLButtonElement);

/** Shows an element or not. */
export function show(id: string, visible: boolean): void {
  element(id, HTMLElement).hidden = !visible;
}

/** Brings a part of the page into view, at once where motion is unwelcome. */
export function scrollTo(id: string, block: ScrollLogicalPosition = "start"): void {
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  element(id, HTMLElement).scrollIntoView({ block, behavior: smooth ? "smooth" : "auto" });
}

/** Says something to screen readers, once. */
export function speak(text: string): void {
  element("said", HTMLElement).textContent = text;
}

/** Why a request was refused, in the server's words. */
export async function detailOf(response: Response): Promise<string> {
  const problem = await response.json().catch(() => undefined) as { detail?: string } | undefined;
  return problem?.detail ?? `the server answered ${response.status}`;
}
