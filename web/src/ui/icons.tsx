import type { ReactNode } from "react"

/** Icons are decoration: what they stand for is the name of the button, or of the image around them. */
function icon(name: string, paths: ReactNode) {
  function Icon({ size = 20 }: { size?: number }) {
    return (
      <svg
        aria-hidden="true"
        width={size}
        height={size}
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
      >
        {paths}
      </svg>
    )
  }
  Icon.displayName = name
  return Icon
}

export const ChatIcon = icon(
  "ChatIcon",
  <path d="M4 5h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-9l-5 4v-4H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z" />,
)
export const PenIcon = icon("PenIcon", <path d="m4 20 1-4L16 5l3 3L8 19l-4 1Zm9.500-12.500 3 3" />)
export const MinusIcon = icon(
  "MinusIcon",
  <>
    <circle cx="12" cy="12" r="9" />
    <path d="M8 12h8" />
  </>,
)
export const CheckIcon = icon("CheckIcon", <path d="m5 13 4 4L19 7" />)
export const CrossIcon = icon("CrossIcon", <path d="M6 6l12 12M18 6 6 18" />)
export const MoreIcon = icon(
  "MoreIcon",
  <>
    <circle cx="12" cy="5" r="1" />
    <circle cx="12" cy="12" r="1" />
    <circle cx="12" cy="19" r="1" />
  </>,
)
export const MutedIcon = icon(
  "MutedIcon",
  <path d="M9 19a3 3 0 0 0 6 0M6 8.500c-.300 5-2 6.500-2 6.500h12M8.500 4.800A6 6 0 0 1 18 9c0 2 .300 3.500.800 4.600M3 3l18 18" />,
)
export const AttachIcon = icon(
  "AttachIcon",
  <path d="m20 11-8.500 8.500a5 5 0 0 1-7-7L13 4a3.500 3.500 0 0 1 5 5l-8.500 8.500a2 2 0 0 1-3-3L14 7" />,
)
export const SendIcon = icon("SendIcon", <path d="M4 12 3 4l18 8-18 8 1-8Zm0 0h8" />)
export const PeopleIcon = icon(
  "PeopleIcon",
  <>
    <circle cx="9" cy="8" r="3.500" />
    <path d="M2.500 20a6.500 6.500 0 0 1 13 0M16 4.800a3.500 3.500 0 0 1 0 6.400M18 14.500a6.500 6.500 0 0 1 3.500 5.500" />
  </>,
)
export const StarIcon = icon(
  "StarIcon",
  <path d="m12 4 2.500 5.200 5.500.700-4 4 1 5.600-5-2.700-5 2.700 1-5.600-4-4 5.500-.700L12 4Z" fill="currentColor" />,
)
export const BackIcon = icon("BackIcon", <path d="m14 6-6 6 6 6" />)
export const DownIcon = icon("DownIcon", <path d="M12 5v14m-6-6 6 6 6-6" />)
export const FileIcon = icon("FileIcon", <path d="M6 3h8l5 5v13H6V3Zm8 0v5h5" />)
export const DownloadIcon = icon("DownloadIcon", <path d="M12 4v11m-5-5 5 5 5-5M5 20h14" />)
export const RetryIcon = icon("RetryIcon", <path d="M4 5v5h5M4.500 10A8 8 0 1 1 4 14" />)
export const ExpandIcon = icon("ExpandIcon", <path d="M14 4h6v6m0-6-7 7M10 20H4v-6m0 6 7-7" />)

export const UndoIcon = icon("UndoIcon", <path d="M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3" />)
