"""The groups and slots from which inode numbers of rows are made: one group a table, one slot a node of a row.

It must not know how a number is put together (`tree/inodes` does).
The modules of the tree make places with these; within a folder they ascend in listing order.
"""

CAMPAIGNS_GROUP = 1
CAMPAIGN_SLOT = 0
CAMPAIGN_JSON_SLOT = 1

CALLS_GROUP = 2
CALL_SLOT = 0
LONE_CALL_SLOT = 1
CALL_JSON_SLOT = 2

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
