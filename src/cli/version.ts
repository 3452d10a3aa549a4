/** The version of this release. */
import config from "../../deno.json" with { type: "json" };

/** As deno.json says. */
export const VERSION: string = config.version;
