import { Modal, type ModalProps } from "@mantine/core"
import type { ReactNode, RefObject } from "react"
import { useReturnFocus } from "./focus"

export interface DialogProps {
  opened: boolean
  onClose: () => void
  title: string
  /** What gets the focus when it is closed, if not what had it before. */
  returnTo?: RefObject<HTMLElement | null>
  size?: ModalProps["size"]
  withCloseButton?: boolean
  children: ReactNode
}

/**
 * A dialog above everything else: the focus stays in it, Esc closes it and nothing else that is open. Mantine looks for
 * the focus and for Esc in the document, where a shadow root shows neither; so that is done here.
 */
export function Dialog({
  opened,
  onClose,
  title,
  returnTo,
  size = "md",
  withCloseButton = false,
  children,
}: DialogProps) {
  useReturnFocus(opened, returnTo)
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      size={size}
      withCloseButton={withCloseButton}
      closeButtonProps={{ "aria-label": "Close" }}
      closeOnEscape={false}
      returnFocus={false}
      attributes={{ header: { role: "presentation" } }} // it heads the dialog, not the page
      styles={{ header: { padding: "var(--mantine-spacing-md)" } }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.nativeEvent.isComposing) return
        event.stopPropagation()
        onClose()
      }}
    >
      {children}
    </Modal>
  )
}
