/**
 * For a shell with GNU tools: what an image's tree is, as text. Every path of what a running container
 * leaves alone, with its metadata (the size of a directory is its file system's affair), and the sum of
 * every program and library.
 */
export const treeListing = [
  'find /usr /opt /home /root',
  "\\( -type d -printf '%p d %m %U %G %T@\\n' -o -printf '%p %y %m %U %G %l %s %T@\\n' \\) | sort;",
  'find /usr -type f -print0 | sort -z | xargs -0 sha256sum',
].join(' ');
