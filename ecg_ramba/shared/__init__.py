"""Results at a URL: ``--out s3://BUCKET/runs``, or whatever else fsspec knows, for machines that share no folder.

Every process works in a folder of its machine, and the URL holds the same layout. A finished piece
(:func:`ecg_ramba.files.building`) is uploaded, its completion marker last; one that is not complete here is looked for
at the URL and fetched whole, held against the checksums of its marker, before anybody computes it. Paths below such a
folder are :class:`ecg_ramba.shared.places.SharedPath`: sent to a worker, wherever it runs, they name the same place
below *its* folder for the URL, so a worker learns the URL from the very paths that it is given.

Where two machines finish the same piece, the first keeps it: an upload begins with a claim in the marker's place, made
by a write that fails if there is something (S3's If-None-Match). Whoever finds a claim waits for the marker that is to
follow, a minute at most, and then takes over: the upload is dead. Nothing at the URL without a whole marker is trusted.

Prepared recordings and the synthetic cohort are not uploaded by themselves: each machine prepares its own from --data,
at about the cost of fetching them. Where workers are on other machines (``Executor.apart``) the run uploads them once,
240 kB for each 10 s, and the workers need no recordings.

``places`` has the paths and their URLs, ``service`` the requests, ``claims`` who uploads a piece, ``pieces`` the rest.
"""
