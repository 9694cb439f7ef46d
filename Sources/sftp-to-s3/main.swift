print("sftp-to-s3")
