"""How much a bottle may ask for: every limit that is checked before memory or time is spent, and why it is there.

A bottle comes from anybody. Each number in it is compared with one of these before anything is made of it. They lie far
above what networks of the field need: a user who meets one has a damaged file, or somebody else's joke.
"""

from __future__ import annotations

# Text ---------------------------------------------------------------------------------------------------------------

#: Bytes of a manifest, ``model.json`` or ``batch_info.json``; the largest known manifest has 70 thousand.
JSON_BYTES = 4 << 20
#: Objects and lists inside each other; readers of trees call themselves once a level.
JSON_DEPTH = 32
#: Digits of an integer; more do not fit into 64 bits, and cannot become a float.
INTEGER_DIGITS = 18
#: Characters of a line, such as a title.
LINE_CHARACTERS = 500
#: Characters of a longer text, such as a summary or a licence.
TEXT_CHARACTERS = 10_000
#: Characters of a location; servers refuse longer URLs.
LOCATION_CHARACTERS = 2_000
#: Letters of a label or a channel; an address holds as many of a label.
NAME_LETTERS = 64
#: Characters of an error's sentence, which may quote what a bottle holds.
SENTENCE_CHARACTERS = 2_000
#: References of a bottle.
REFERENCES = 100

# The manifest -------------------------------------------------------------------------------------------------------

#: Channels of a bottle; the published model has 45.
CHANNELS = 1_024
#: Labels of a bottle, which are shown in lists; the published model has room for 1024.
LABELS = 1_024
#: Length of the one-hot vector of labels; a linear layer has as many columns.
LABEL_VECTOR = 65_536
#: Networks of a bottle; the published one has five.
PARTS = 32
#: Halvings of the interval of a bridge: 5 from eight days to six hours. All states of an interval are kept together.
HALVINGS = 8
#: Windows of a video network between two anchors. To read an instant may take to draw them all.
WINDOWS = 64
#: Values of all windows between two anchors: 4 GiB of float32, kept together. The published network has 0.1 billion.
CHAIN_VALUES = 1 << 30
#: Values of one instant, channels times cells: 256 MiB of float32. The published model has 2.2 million.
INSTANT_VALUES = 1 << 26
#: Instants of the time axis: two thousand years of hours. The index of a data set holds 8 bytes for each.
INSTANTS = 20_000_000
#: Seconds between two instants: a century, beyond which a time axis has no meaning.
STEP_SECONDS = 36_525 * 86_400
#: Levels of noise, as many as the keyword ``num_steps`` may ask for.
NUM_STEPS = 10_000
#: Numbers of steps for which a bottle may offer chosen noise levels.
LEVEL_LISTS = 64
#: Largest noise level, and largest of other factors; the published one is 800.
SIGMA = 1e6
#: Largest exponent of e that sampling takes; float64 ends at 709.
EXPONENT = 500.0
#: Cells along an edge of a patch; the published network has 128.
PATCH_CELLS = 1_024

#: Forcings of a bottle; a climate model has some tens.
FORCINGS = 32
#: Fields that do not change in time.
STATIC = 32
#: Times of the series of a forcing: months of eight centuries.
FORCING_TIMES = 10_000
#: Kelvins that a sea may differ on the global mean: no climate of the last billion years did more.
SEA_KELVIN = 100.0
#: Largest number of a forcing, in whatever unit.
FORCING = 1e9

# Networks -----------------------------------------------------------------------------------------------------------

#: ``model_channels``; the published network has 192.
MODEL_CHANNELS = 4_096
#: Resolutions of a network, and by how much one of them may be wider than ``model_channels``; published: 5 and 2.
RESOLUTIONS, CHANNEL_MULTIPLE = 8, 64
#: Blocks at a resolution; published: 4.
BLOCKS = 32
#: Frames of a video network; published: 12.
FRAMES = 1_000
#: HEALPix level of a network's cells.
ZOOM = 12
#: Bytes of the pickle that names the tensors of a state dict, about 200 for each tensor.
PICKLE_BYTES = 16 << 20
#: Members of a zip.
MEMBERS = 10_000

# netCDF -------------------------------------------------------------------------------------------------------------

#: Variables and dimensions of a file, and attributes of one of them.
NETCDF_OBJECTS = 256
#: Bytes of an attribute or of all text in a variable; ``history`` is the longest that is known.
NETCDF_TEXT = 1 << 20
#: Dimensions of a variable; a climatology has five.
NETCDF_RANK = 8
#: Bytes that the values of a file may have, and how many times the file's own bytes: deflate cannot pack zeros better
#: than 1:1030, and the fields of the bundled bottle are packed 1:31. Small files may have `NETCDF_SMALL` in any case.
NETCDF_BYTES, NETCDF_RATIO, NETCDF_SMALL = 16 << 30, 200, 64 << 20
#: Bytes of a netCDF-3 file, which is read whole.
CLASSIC_BYTES = 2 << 30
#: Bytes of a chunk once it is unpacked; HDF5 unpacks chunks whole, and keeps several.
CHUNK_BYTES = 1 << 30
#: Chunks of a file, which are looked at one by one.
CHUNKS = 1_000_000
#: Seconds of a processor, seconds on the clock, and bytes of memory that a child process may take to read a file first.
TRIAL_SECONDS, TRIAL_WALL_SECONDS, TRIAL_BYTES = 30, 300.0, 4 << 30
#: Bytes of values that it reads; of larger files it looks at what says where the values are.
TRIAL_VALUES = 512 << 20
#: Harmonics of a climatology: of the year, of the day, and degrees of its calibration.
HARMONICS, DEGREES, KNOTS = 64, 4_096, 10_000
#: Predictors of its response: patterns of the sea, and forcings.
PREDICTORS = 64
#: Of coherence: latitudes, bands of wavenumbers, and parts of the noise, whose noise an instant costs.
LATITUDES, BANDS, MEMORIES = 1_024, 4_096, 16

# Downloads ----------------------------------------------------------------------------------------------------------

#: Bytes of a file whose size nobody declared; the largest published one has 2 GB.
DOWNLOAD_BYTES = 64 << 30
#: Seconds that one file may take in all.
DOWNLOAD_SECONDS = 24 * 3600.0
#: Bytes a second below which a server only keeps us waiting, in the mean over so many seconds.
SLOWEST_RATE, SLOW_SECONDS = 1_000.0, 60.0
