/** Pictures that browsers draw. SVG is not among them: it is a document, which may bring scripts along. */
const pictures = new Set(["image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/avif"])

export const isPicture = (mediaType: string) => pictures.has(mediaType)

/** What opening a file does: shows it, plays it, hands it to the browser's own reader, or nothing but a download. */
export type Kind = "picture" | "sound" | "film" | "pdf" | "other"

export function kindOf(mediaType: string): Kind {
  if (isPicture(mediaType)) return "picture"
  if (mediaType.startsWith("audio/")) return "sound"
  if (mediaType.startsWith("video/")) return "film"
  return mediaType === "application/pdf" ? "pdf" : "other"
}

/** The type that a file has in the browser. What could run in the page's origin is never called what it is. */
export function safeType(mediaType: string) {
  return kindOf(mediaType) === "other" ? "application/octet-stream" : mediaType
}

const units = ["byte", "kilobyte", "megabyte", "gigabyte"]

/** A number of bytes for a person, in their language. */
export function sizeInWords(bytes: number) {
  let value = bytes
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1024
  const digits = unit > 0 && value < 10 ? 1 : 0
  return new Intl.NumberFormat(undefined, {
    style: "unit",
    unit: units[unit] ?? "byte",
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: digits,
  }).format(value)
}
