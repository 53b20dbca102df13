"""The groups and slots from which inode numbers of rows are made: one group a table, one slot a node of a row.

It must not know how a number is put together (`tree/inodes` does).
The modules of the tree make places with these; within a folder they ascend in listing order.
"""

CAMPAIGNS_GROUP = 1
CAMPAIGN_SLOT = 0
CAMPAIGN_JSON_SLOT = 1
NAMED_CAMPAIGN_SLOT = 2
CAMPAIGN_PLAYLIST_SLOT = 3

CALLS_GROUP = 2
CALL_SLOT = 0
LONE_CALL_SLOT = 1
CALL_JSON_SLOT = 2
NAMED_CALL_SLOT = 3
CALL_PLAYLIST_SLOT = 4
LONE_CALL_PLAYLIST_SLOT = 5

RECORDINGS_GROUP = 3
MP3_SLOT = 0
RECORDING_JSON_SLOT = 1

FILES_GROUP = 4
WAV_SLOT = 0

MEDIA_GROUP = 5
MEDIA_FILE_SLOT = 0
MEDIA_JSON_SLOT = 1
MEDIA_RAW_SLOT = 2
MEDIA_PUBLIC_SLOT = 3

DYNAMIC_GROUP = 6
DYNAMIC_FILE_SLOT = 0

VIEW_FOLDERS_GROUP = 7
VIEW_FOLDER_SLOT = 0
VIEW_PLAYLIST_SLOT = 1

#: The row of a date is its day's number.
DATES_GROUP = 8
DAY_SLOT = 0
MONTH_SLOT = 1
YEAR_SLOT = 2
