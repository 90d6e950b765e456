import { type RefObject, useLayoutEffect, useRef } from "react"

/** What has the focus, inside shadow roots too. */
export function focused(): Element | null {
  let element = document.activeElement
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
  return element
}

/** Whether nothing in particular has the focus, as when what had it is gone. */
export function focusIsLost() {
  const element = focused()
  return element === null || element === document.body || element.shadowRoot !== null
}

/**
 * Brings the focus back when what opened is closed: to the element that is named, or else to where it was. Not if the
 * person, or what was opened instead, took it elsewhere.
 */
export function useReturnFocus(isOpen: boolean, to?: RefObject<HTMLElement | null>) {
  useLayoutEffect(() => {
    if (!isOpen) return
    const before = focused()
    const back = () => {
      const atClose = focused()
      setTimeout(() => {
        const target = to?.current ?? before // as it is by then
        if (!focusIsLost() && focused() !== atClose) return
        if (target instanceof HTMLElement && target.isConnected) target.focus({ preventScroll: true })
      })
    }
    return back
  }, [isOpen, to])
}

/**
 * Keeps the focus when what has it goes away in a change of the component that calls this, however late the change comes:
 * then `to` gets it. The element around all that may have the focus takes the handlers that are returned.
 */
export function useKeepFocus(to: RefObject<HTMLElement | null>) {
  const isWithin = useRef(false)
  useLayoutEffect(() => {
    if (isWithin.current && focusIsLost()) to.current?.focus()
  })
  // React hears of no blur while it changes the page: what blurs then goes away.
  return {
    onFocus: () => {
      isWithin.current = true
    },
    onBlur: () => {
      isWithin.current = false
    },
  }
}
