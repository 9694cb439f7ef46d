internal import Common
