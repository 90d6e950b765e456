import { Button, type ButtonProps, Loader } from "@mantine/core"
import type { ComponentPropsWithoutRef } from "react"

export type ActButtonProps = ButtonProps &
  Omit<ComponentPropsWithoutRef<"button">, keyof ButtonProps> & { isBusy: boolean }

/** A button for something that takes a moment: while it does, the button says so, keeps the focus and does not do it twice. */
export function ActButton({ isBusy, onClick, children, ...others }: ActButtonProps) {
  return (
    <Button
      {...others}
      aria-busy={isBusy}
      aria-disabled={isBusy || undefined}
      leftSection={isBusy ? <Loader size="1em" color="currentColor" /> : others.leftSection}
      onClick={(event) => {
        if (isBusy) event.preventDefault()
        else onClick?.(event)
      }}
    >
      {children}
    </Button>
  )
}
