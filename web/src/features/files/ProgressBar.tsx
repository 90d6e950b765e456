/** How far something is, 0 to 1. */
export function ProgressBar({ label, value, text }: { label: string; value: number; text?: string | undefined }) {
  const percent = Math.round(value * 100)
  return (
    <div
      className="file-progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      aria-valuetext={text}
    >
      <div style={{ inlineSize: `${percent}%` }} />
    </div>
  )
}
