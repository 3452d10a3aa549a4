/** What operators and orchestrators ask: alive, ready, metrics, models; and warm-up and drain. */
import type { Hono } from "npm:hono@4.13.19";
import { Problem } from "./problem.ts";
import type { Services } from "./services.ts";

export function operationRoutes(app: Hono, services: Services): {
  warmUp(): Promise<void>;
  drain(graceMs: number): Promise<boolean>;
} {
  const { engines, metrics, studio, log } = services;
  let draining = false;

  const warmUp = async () => {
    await Promise.all([...engines.values()].map((engine) => engine.warmUp()));
  };

  app.get("/livez", (c) => c.text("ok"));
  app.get("/readyz", async (c) => {
    // Nobody has to call warmUp: at the edge the first probe does it.
    const warm = warmUp().catch((error) => {
      log({ level: "error", message: "warm-up failed", error: String(error) });
    });
    await Promise.race([warm, new Promise((resolve) => setTimeout(resolve, 100))]);
    const weights = Object.fromEntries(
      [...engines].map(([name, engine]) => [name, engine.ready ? "ready" : "not ready"]),
    );
    const ready = !draining && Object.values(weights).every((state) => state === "ready");
    const status = draining ? "draining" : ready ? "ready" : "starting";
    return c.json({ status, weights }, ready ? 200 : 503, { "cache-control": "no-store" });
  });
  app.get("/metrics", (c) => {
    c.header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(metrics.text());
  });
  app.get("/v1/models", (c) => c.json({ object: "list", data: models(services) }));

  return {
    warmUp,
    async drain(graceMs) {
      draining = true;
      studio.admission.close();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const grace = new Promise<false>((resolve) => {
        timer = setTimeout(() => resolve(false), graceMs);
      });
      const finished = await Promise.race([studio.admission.idle().then(() => true), grace]);
      clearTimeout(timer);
      studio.abort(
        new Problem(503, "draining", "this server is shutting down; ask again", { retryAfter: 5 }),
      );
      return finished;
    },
  };
}

/** OpenAI's list of models; `denoise` in each says what the page and clients can ask of it. */
function models({ engines, catalog, limits }: Services) {
  const schedulers = Object.fromEntries(
    Object.values(catalog.schedulers).map(({ name, description, options }) => [
      name,
      { description, options: options ?? {} },
    ]),
  );
  return [...engines].map(([name, { model }]) => ({
    id: name,
    object: "model",
    created: 0,
    owned_by: "denoise",
    denoise: {
      weights: `${name}@${model.hash.slice(0, 16)}`,
      backend: model.backend,
      shape: model.shape,
      labels: model.labels ?? [],
      guidance: model.nullLabel !== undefined,
      recommended: {
        scheduler: model.recommended?.scheduler ?? "ddim",
        steps: model.recommended?.steps ?? 50,
        guidance: model.recommended?.guidance ?? 1,
      },
      schedule: {
        beta_schedule: model.scheduler.beta_schedule,
        beta_start: model.scheduler.beta_start,
        beta_end: model.scheduler.beta_end,
        num_train_timesteps: model.scheduler.num_train_timesteps,
      },
      max_steps: Math.min(limits.maxSteps, limits.maxCost, model.scheduler.num_train_timesteps),
      schedulers,
    },
  }));
}
