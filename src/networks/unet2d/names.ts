/** Tensor names of older diffusers versions, brought to today's. */

/** Applied in order, as diffusers' own conversion does. */
const renames: readonly [RegExp, string][] = [
  [/^mid\./, "mid_block."],
  [/^downsample_blocks\./, "down_blocks."],
  [/^upsample_blocks\./, "up_blocks."],
  [/(\.attentions\.\d+)\.query\./, "$1.to_q."],
  [/(\.attentions\.\d+)\.key\./, "$1.to_k."],
  [/(\.attentions\.\d+)\.value\./, "$1.to_v."],
  [/(\.attentions\.\d+)\.proj_attn\./, "$1.to_out.0."],
];

/** `downsamplers.0.op.*` repeats `downsamplers.0.conv.*` in files from before 0.1. */
const repeated = /\.downsamplers\.\d+\.(op|Conv2d_0)\.(weight|bias)$/;

/** Today's name of a tensor, or undefined for one that only repeats another. */
export function currentName(name: string): string | undefined {
  if (repeated.test(name)) return undefined;
  return renames.reduce((n, [old, now]) => n.replace(old, now), name);
}
