import { ActionIcon } from "@mantine/core"
import { useRef } from "react"
import { AttachIcon } from "../../ui/icons"

/**
 * Attaches files (S24). It does not ask the browser for certain types only: what a file is the server tells by its
 * bytes, and browsers do not know all that clinics send, such as DICOM.
 */
export function AttachButton({ onFiles }: { onFiles: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label="Attach files"
        onClick={() => input.current?.click()}
      >
        <AttachIcon />
      </ActionIcon>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          const files = Array.from(event.currentTarget.files ?? [])
          event.currentTarget.value = "" // so that the same file can be chosen again
          if (files.length > 0) onFiles(files)
        }}
      />
    </>
  )
}
