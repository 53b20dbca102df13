"""Names that file managers, players and shells probe for in every folder.

The service is not asked for any of them. So no listed name is one: the folder of a campaign called `.git` has its id in
its name as well. It owns the table. It must not know the tree.

Sources: measured on a logging mount (`.Trash`, `.hidden`, `.sh_thumbnails`, `.directory`, mplayer's subtitle indexes,
vlc's cover art and subtitle folders); the others are known from macOS, Windows, Android, version control and disc
players.
"""

#: Compared in lower case: Windows and vlc spell the same names in several ways.
_NAMES = frozenset(
    {
        # desktops: Nautilus, Thunar, Dolphin, PCManFM, GVfs
        ".hidden", ".directory", ".sh_thumbnails", ".thumbnails", ".comments",
        ".xdg-volume-info", ".trackerignore", ".nomedia",
        # Windows and macOS
        "autorun.inf", "desktop.ini", "thumbs.db", "ehthumbs.db",
        ".ds_store", ".localized", ".fseventsd", ".spotlight-v100", ".metadata_never_index",
        # version control: prompts and editors ask in every folder
        ".git", ".svn", ".hg", ".bzr",
        # disc players look for a film
        "bdmv", "video_ts", "audio_ts",
        # vlc: cover art and subtitle folders
        "folder.jpg", "folder.png", ".folder.png", "albumartsmall.jpg", "albumart.jpg", "album.jpg",
        "cover.jpg", "cover.png", "cover.gif",
        "front.jpg", "front.png", "front.gif", "front.bmp", "thumb.jpg",
        "subtitles", "subs",
    }
)  # fmt: skip
#: `.Trash`, `.Trash-1000`, `.Trashes`; AppleDouble files.
_PREFIXES = (".trash", "._")
#: mplayer asks `{stem}.ifo` and `{stem}.idx` beside every file it plays.
_SUFFIXES = (".ifo", ".idx")


def is_probe_name(name: str) -> bool:
    """True for a name that programs probe for and that neither API can have, whatever its case."""
    lowered = name.lower()
    return lowered in _NAMES or lowered.startswith(_PREFIXES) or lowered.endswith(_SUFFIXES)
