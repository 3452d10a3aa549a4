/**
 * The operators that a graph may consist of. Left out is what a network has no use for and a stranger
 * might: control flow (a loop need not end), randomness (a picture depends on its seed alone), other
 * people's domains, strings and sequences.
 */
const standard = `
  Abs Add And AveragePool ArgMax ArgMin Attention BatchNormalization Cast CastLike Ceil Celu Clip
  Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos CumSum DepthToSpace
  DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten
  Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
  GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN
  LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul MatMulInteger
  Max MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul
  QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
  ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round
  ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
  SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu
  Unsqueeze Upsample Where Xor`;

/** What onnxruntime's own optimiser writes in their place. */
const microsoft = `
  Attention BiasAdd BiasGelu BiasSplitGelu FastGelu FusedConv FusedGemm FusedMatMul Gelu GroupNorm
  LayerNormalization MatMulNBits MultiHeadAttention NhwcConv QAttention QLinearAdd QLinearConcat
  QLinearMul QLinearSigmoid QuickGelu SkipGroupNorm SkipLayerNormalization`;

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));
const standardNames = words(standard);

/** Operators by domain; "ai.onnx" is the standard's other name. */
export const operators: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["", standardNames],
  ["ai.onnx", standardNames],
  ["com.microsoft", words(microsoft)],
]);
