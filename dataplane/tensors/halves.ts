/** Numbers of 16 bits: by IEEE 754 (FP16), and the upper half of one of 32 (BF16). */

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

export function brainFrom(value: number): number {
  float[0] = value
  const whole = bits[0] ?? 0
  if ((whole & 0x7fffffff) > 0x7f800000) return (whole >>> 16) | 0x40
  // To the nearest, and of two to the even one.
  return ((whole + 0x7fff + ((whole >>> 16) & 1)) >>> 16) & 0xffff
}

export function brainTo(word: number): number {
  bits[0] = word << 16
  return float[0] ?? 0
}

const half = new Float16Array(1)
const halfBits = new Uint16Array(half.buffer)

export function halfTo(word: number): number {
  halfBits[0] = word
  return half[0] ?? 0
}
