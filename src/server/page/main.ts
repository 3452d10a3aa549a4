/// <reference lib="dom" />
/** The page: the forward process, the reverse process and the wall, tied together by an address. */
import { button, detailOf, element, output, scrollTo, speak } from "./dom.ts";
import { forward } from "./forward.ts";
import { type ModelCard, RecipeForm } from "./recipe.ts";
import { Repair } from "./repair.ts";
import { Reverse } from "./reverse.ts";
import { Wall } from "./wall.ts";

async function start(): Promise<void> {
  const noising = forward();
  const response = await fetch("v1/models");
  if (!response.ok) throw new Error(await detailOf(response));
  const { data } = await response.json() as { data: ModelCard[] };
  const form = new RecipeForm(data);

  // What is watched has the network to itself.
  const watching = { onStart: () => wall.pause(), onEnd: () => wall.resume() };
  const repair = new Repair(data, watching);
  const reverse = new Reverse({
    ...watching,
    onDone: (picture) => {
      if (!noising.own) noising.show(picture);
      repair.show(picture, false);
    },
    onUse: (picture) => {
      noising.show(picture);
      scrollTo("forward");
    },
    onRepair: (picture) => {
      repair.show(picture);
      scrollTo("repair");
    },
  });
  const wall = new Wall((seed) => {
    form.seed = seed;
    run(true);
    element("reverse", HTMLElement).scrollIntoView({ block: "start" });
  });

  /** Watches what the form says; `remember` makes it a step in the browser's history. */
  function run(remember: boolean): void {
    const parameters = form.parameters();
    const address = `?${new URLSearchParams([["seed", form.seed], ...parameters])}`;
    if (remember) history.pushState(null, "", address);
    document.title = `${form.seed} · denoise`;
    const picture = new URL(`v1/images/${encodeURIComponent(form.seed)}.png`, document.baseURI);
    for (const [name, value] of parameters) picture.searchParams.set(name, value);
    const example = element("example", HTMLAnchorElement);
    example.href = example.textContent = picture.href;
    repair.use(form.model);
    reverse.start(form.seed, parameters);
    wall.show(parameters, form.model.denoise.recommended);
  }

  function fromAddress(): void {
    const address = new URLSearchParams(location.search);
    form.read(address);
    form.seed = address.get("seed") || "7";
    run(false);
  }

  element("recipe", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    run(true);
  });
  button("dice").addEventListener("click", () => {
    form.seed = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    run(true);
  });
  addEventListener("popstate", fromAddress);
  fromAddress();
}

start().catch((error) => {
  output("status").classList.add("error");
  const text = `the page could not start: ${error instanceof Error ? error.message : error}`;
  output("status").textContent = text;
  speak(text);
});
