import { createContext, type ReactNode, use, useCallback, useEffect, useState } from "react"

const AnnounceContext = createContext<(text: string) => void>(() => undefined)

/** How long what was said stays there to be read, in milliseconds: it may be recalled, or not be theirs any more. */
const moment = 7_000

/** Says something to people who use a screen reader, without taking them from where they are. */
export function useAnnounce() {
  return use(AnnounceContext)
}

export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState({ text: "", turn: 0 })
  const announce = useCallback((text: string) => setSaid(({ turn }) => ({ text, turn: turn + 1 })), [])
  useEffect(() => {
    if (!said.text) return
    const timer = setTimeout(() => announce(""), moment)
    return () => clearTimeout(timer)
  }, [said, announce])
  return (
    <AnnounceContext value={announce}>
      {children}
      <div className="visually-hidden" role="status" aria-label="Announcements">
        <span key={said.turn}>{said.text}</span>
      </div>
    </AnnounceContext>
  )
}
