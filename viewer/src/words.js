// How numbers are said.

export const bytes = size =>
  size >= 1e9 ? `${(size / 1e9).toFixed(2)} GB` : size >= 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(size / 1e3))} kB`

export const count = number => number.toLocaleString("en")

/** What a scene has and takes, next to the first one where that is another. */
export function said(scene, first) {
  if (scene.gaussians === undefined) return ""
  const parts = [`${count(scene.gaussians)} Gaussians`]
  if (scene.bytes) parts.push(bytes(scene.bytes))
  if (first && first !== scene && first.bytes && scene.bytes) {
    const times = first.bytes / scene.bytes
    parts.push(times >= 1.05 ? `${times.toFixed(1)}× smaller` : times <= 0.95 ? `${(1 / times).toFixed(1)}× larger` : "same size")
  }
  return parts.join(" · ")
}
