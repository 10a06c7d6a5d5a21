"""Names that are not ours: upstreams are asked, and their answers passed on."""
