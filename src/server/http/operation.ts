/** What operators and orchestrators ask: alive, ready, metrics; and warm-up and drain. */
import { Problem } from "../problem.ts";
import { answer, type Route } from "./route.ts";
import type { Services } from "./services.ts";

/** The process's own part beside its routes. */
export interface Operation {
  warmUp(): Promise<void>;
  drain(graceMs: number): Promise<boolean>;
}

const NO_STORE = { "cache-control": "no-store" };

export function operationRoutes(services: Services): { routes: Route[]; operation: Operation } {
  const { engines, metrics, pictures, log, access } = services;
  let draining = false;

  const warmUp = async () => {
    await Promise.all([...engines.values()].map((engine) => engine.warmUp()));
  };

  const routes: Route[] = [{
    method: "get",
    path: "/livez",
    handle: (c) => c.text("ok", 200, NO_STORE),
    operation: () => ({
      operationId: "live",
      summary: "The process answers",
      responses: { "200": answer("it does", "text/plain", { type: "string" }) },
    }),
  }, {
    method: "get",
    path: "/readyz",
    async handle(c) {
      // Nobody has to call warmUp: at the edge the first probe does it.
      const warm = warmUp().catch((error) => {
        log({ level: "error", message: "warm-up failed", error: String(error) });
      });
      let timer: ReturnType<typeof setTimeout> | undefined;
      const soon = new Promise<void>((resolve) => timer = setTimeout(resolve, 100));
      await Promise.race([warm, soon]);
      clearTimeout(timer);
      const weights = Object.fromEntries(
        [...engines].map(([name, engine]) => [name, engine.ready ? "ready" : "not ready"]),
      );
      const ready = !draining && Object.values(weights).every((state) => state === "ready");
      const status = draining ? "draining" : ready ? "ready" : "starting";
      return c.json({ status, weights }, ready ? 200 : 503, NO_STORE);
    },
    operation: () => ({
      operationId: "ready",
      summary: "Every network is warm",
      responses: {
        "200": answer("they are", "application/json", { type: "object" }),
        "503": answer("not now", "application/json", { type: "object" }),
      },
    }),
  }, {
    method: "get",
    path: "/metrics",
    async handle(c) {
      await access.metrics(c.req.raw);
      const type = "text/plain; version=0.0.4; charset=utf-8";
      return c.body(metrics.text(), 200, { ...NO_STORE, "content-type": type });
    },
    operation: () => ({
      operationId: "metrics",
      summary: "Prometheus' text format",
      security: access.security("metrics"),
      responses: { "200": answer("the samples", "text/plain", { type: "string" }) },
      problems: [401],
    }),
  }];

  return {
    routes,
    operation: {
      warmUp,
      async drain(graceMs) {
        draining = true;
        pictures.admission.close();
        let timer: ReturnType<typeof setTimeout> | undefined;
        const grace = new Promise<false>((resolve) => {
          timer = setTimeout(() => resolve(false), graceMs);
        });
        const finished = await Promise.race([pictures.admission.idle().then(() => true), grace]);
        clearTimeout(timer);
        pictures.abort(
          new Problem(503, "draining", "this server is shutting down; ask again", {
            retryAfter: 5,
          }),
        );
        return finished;
      },
    },
  };
}
