import { createContext, type ReactNode, use, useCallback, useState } from "react"

const AnnounceContext = createContext<(text: string) => void>(() => undefined)

/** Says something to people who use a screen reader, without taking them from where they are. */
export function useAnnounce() {
  return use(AnnounceContext)
}

export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState({ text: "", turn: 0 })
  const announce = useCallback((text: string) => setSaid(({ turn }) => ({ text, turn: turn + 1 })), [])
  return (
    <AnnounceContext value={announce}>
      {children}
      <div className="visually-hidden" role="status" aria-label="Announcements">
        <span key={said.turn}>{said.text}</span>
      </div>
    </AnnounceContext>
  )
}
