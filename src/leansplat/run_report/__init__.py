"""What runs tell, as one HTML file: what was asked and what came out, with pictures, curves and numbers.

reading     a run folder, a file with its record, or a ladder, to an `Account`
sentences   what was asked, what came out, how good it is
curves      loss, quality and Gaussians on the way; quality over size
histograms  opacities and sizes, before and after
views       the worst, the median and the best held-out view
assembling  all of it as a document of `leansplat.report`
"""

from leansplat.run_report.account import Account
from leansplat.run_report.assembling import report_of, write_report
from leansplat.run_report.reading import account_of

__all__ = ["Account", "account_of", "report_of", "write_report"]
