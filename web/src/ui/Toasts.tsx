import { Button, Notification, Portal } from "@mantine/core"
import { createContext, type ReactNode, use, useCallback, useEffect, useRef, useState } from "react"
import { focused } from "./focus"

export interface Toast {
  text: string
  /** What can be done about it. */
  action?: { label: string; run: () => void }
  isError?: boolean
}

const ToastContext = createContext<(toast: Toast) => void>(() => undefined)

/** Says something at the bottom of the window for a while. */
export function useToast() {
  return use(ToastContext)
}

interface Shown extends Toast {
  id: number
}

/** How long a toast stays while nobody is at it, in milliseconds. */
const stay = 8_000

/** The key that goes to the toasts, from wherever the focus is, and back. */
const key = "F8"

let count = 0

/** Toasts shows what is said, above everything else. It can be reached with F8, because dialogs keep the focus inside. */
export function Toasts({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<Shown[]>([])
  const [isHeld, setIsHeld] = useState(false)
  const region = useRef<HTMLDivElement>(null)
  const before = useRef<Element>(null)
  const toast = useCallback((toast: Toast) => setShown((shown) => [...shown.slice(-2), { ...toast, id: count++ }]), [])
  const close = (id: number) => {
    const hadFocus = region.current?.contains(focused())
    setShown((shown) => shown.filter((one) => one.id !== id))
    if (shown.length === 1) setIsHeld(false)
    if (hadFocus && before.current instanceof HTMLElement && before.current.isConnected) before.current.focus()
  }
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== key) return
      const buttons = region.current?.querySelectorAll("button")
      if (!buttons?.length) return
      event.preventDefault()
      const isThere = region.current?.contains(focused())
      if (isThere && before.current instanceof HTMLElement) before.current.focus()
      else if (!isThere) {
        before.current = focused()
        buttons[0]?.focus()
      }
    }
    window.addEventListener("keydown", onKeyDown)
    return () => window.removeEventListener("keydown", onKeyDown)
  }, [])
  const list = (isError: boolean) =>
    shown
      .filter((one) => Boolean(one.isError) === isError)
      .map((one) => <OneToast key={one.id} toast={one} isHeld={isHeld} onClose={() => close(one.id)} />)
  return (
    <ToastContext value={toast}>
      {children}
      <Portal>
        <div
          ref={region}
          role="region"
          aria-label={`Notices (${key})`}
          style={place}
          onPointerEnter={() => setIsHeld(true)}
          onPointerLeave={() => setIsHeld(false)}
          onFocus={() => setIsHeld(true)}
          onBlur={() => setIsHeld(false)}
        >
          <div role="alert" aria-atomic="false">
            {list(true)}
          </div>
          <div role="status" aria-label="Notices" aria-atomic="false">
            {list(false)}
          </div>
        </div>
      </Portal>
    </ToastContext>
  )
}

function OneToast({
  toast: { text, action, isError },
  isHeld,
  onClose,
}: {
  toast: Toast
  isHeld: boolean
  onClose: () => void
}) {
  const close = useRef(onClose)
  useEffect(() => {
    close.current = onClose
  })
  useEffect(() => {
    if (isHeld) return
    const timer = setTimeout(() => close.current(), stay)
    return () => clearTimeout(timer)
  }, [isHeld])
  return (
    <Notification
      role="presentation"
      color={isError ? "red" : "blue"}
      withBorder
      style={shape}
      onClose={onClose}
      closeButtonProps={{ "aria-label": "Close notice" }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return
        event.stopPropagation()
        onClose()
      }}
    >
      <span dir="auto">{text}</span>{" "}
      {action && (
        <Button
          size="compact-sm"
          variant="light"
          onClick={() => {
            onClose()
            action.run()
          }}
        >
          {action.label}
        </Button>
      )}
    </Notification>
  )
}

const place = {
  position: "fixed",
  insetBlockEnd: "1rem",
  insetInlineStart: "50%",
  zIndex: 400,
  inlineSize: "min(24rem, calc(100vw - 2rem))",
  marginInlineStart: "calc(min(24rem, 100vw - 2rem) / -2)",
} as const

const shape = { marginBlockStart: "0.5rem" }
